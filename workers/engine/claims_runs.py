"""Steps about runs that are going: their end, their move to a new session, the takeover of orphans. Pure."""

from dataclasses import dataclass, field

from coordination import fires
from coordination.fires import Claim
from coordination.gateway import Compare
from workers.engine.claims_scene import Job, Scene, Step

LOST = "the node that ran it was lost"

PROBE = 5.0
"""Seconds between two tries to take over from a node that shows no presence."""

SLOW_PROBE = 60.0
"""The same, for a node that does: it looks after its own runs, unless it has forgotten them."""


@dataclass(slots=True)
class Probes:
    """When to try next (boot seconds) whether the runs of a session are orphaned, by the session's key."""

    at: dict[str, float] = field(default_factory=dict)
    gone: set[str] = field(default_factory=set)
    """Sessions of nodes that show no presence."""

    def suspect(self, session: str) -> None:
        """The key was seen to be absent: try at once."""
        self.at[session] = float("-inf")

    def due(self, scene: Scene, run: Claim) -> bool:
        """Whether to try now. Sooner when its node shows no presence, in the order of the ranks."""
        members, key = scene.standing.members, scene.session_key(run)
        gone = run.node == scene.me or (members is not None and run.node not in members)
        place = 0 if run.node == scene.me else scene.rank(run.instant)
        if gone and key not in self.gone:
            self.gone.add(key)
            first = scene.now.boot + place * scene.document.standby_delay
            self.at[key] = min(self.at.get(key, first), first)
        elif not gone:
            self.gone.discard(key)
        pause = PROBE if gone else SLOW_PROBE
        if self.at.setdefault(key, scene.now.boot + pause * (1 + place)) > scene.now.boot:
            return False
        self.at[key] = scene.now.boot + pause
        return True

    def keep(self, sessions: set[str]) -> None:
        """Forgets all others."""
        self.at = {session: at for session, at in self.at.items() if session in sessions}
        self.gone &= sessions

    def next(self) -> float | None:
        """The boot second of the next try."""
        return min(self.at.values(), default=None)


def finish_step(scene: Scene) -> Step | None:
    """A run of this node has ended."""
    for job in scene.jobs.values():
        if job.state == "ended" and scene.record.run(job.claim.nonce) is not None:
            return Step(fires.finish(scene.record, job.claim.nonce, *job.ending))
    return None


def reattach_step(scene: Scene) -> Step | None:
    """Living runs of this node go on under its present session. So do those of which it knows the end, until the record
    may be told of it: to others they would look like orphans."""
    moving = [
        job.claim.nonce
        for job in scene.jobs.values()
        if job.claim.session != scene.right.session
        and (job.state == "ended" or job.may_move(scene.epoch.id, scene.standing, scene.now))
    ]
    record = scene.record
    for nonce in moving:
        if record.run(nonce) is not None:
            record = fires.reattach(record, nonce, scene.right.session)
    return None if record is scene.record else Step(record, settles=False)


def takeover_step(scene: Scene, probes: Probes) -> Step | None:
    """Closes or reruns what no living session runs. The transaction, not this node's view, says what is orphaned."""
    probes.keep({scene.session_key(run) for run in scene.record.runs})
    for run in scene.record.runs:
        if run.nonce in scene.jobs:
            continue
        if run.session == scene.right.session:
            return _taken_over(scene, run, "")
        if probes.due(scene, run):
            return _taken_over(scene, run, scene.session_key(run))
    return None


def _taken_over(scene: Scene, run: Claim, orphaned_by: str) -> Step:
    """``orphaned_by`` names the session key that has to be absent; empty for an entry under this node's own session."""
    also = (Compare.absent(orphaned_by),) if orphaned_by else ()
    held_back = scene.phase.document is None or scene.document.paused or scene.standing.paused
    if scene.document.on_node_loss == "abandon" or held_back:
        record = fires.take_over(scene.record, run.nonce, None, LOST)
        return Step(record, also, orphaned_by=orphaned_by)
    entry = Claim(
        instant=run.instant,
        attempt=fires.next_attempt(scene.record, run),
        node=scene.me,
        session=scene.right.session,
        nonce=scene.new_nonce(),
        epoch=scene.epoch.id,
    )
    record = fires.take_over(scene.record, run.nonce, entry, LOST)
    return Step(record, also, job=Job(entry, scene.document, "rerun", entry.session), orphaned_by=orphaned_by)
