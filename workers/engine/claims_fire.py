"""The fate of due instants: claimed, skipped, missed, or left to the node whose turn it is. Pure."""

from collections.abc import Mapping
from datetime import datetime, timedelta

from coordination import fires
from coordination.documents import PipelineDocument
from coordination.fires import Claim, Decision
from coordination.gateway import Compare
from coordination.records import Trigger
from workers.engine.claims_scene import CHUNK, Job, Scene, Step, gathered
from workers.engine.placement import acts_at
from workers.engine.plan import OVERLAP, PAUSED, Fires
from workers.engine.standing import PRESENCE_TTL

SUPERSEDED = "a later fire is run in its place"
TOO_OLD = "it is older than the catch-up window"
BEYOND_CAP = "more fires were missed than the catch-up cap allows"

Verdict = Decision | Trigger
"""A decision against running, or the trigger to run with."""


def grace(document: PipelineDocument) -> timedelta:
    """How late a shared fire may be: long enough for every standby to have had its turn."""
    needed = PRESENCE_TTL + len(document.nodes) * document.standby_delay
    return timedelta(seconds=max(document.misfire_grace, needed))


def fire_step(scene: Scene) -> Step | None:
    """Decides what is due and this node's turn: any number of instants against running, at most one for it."""
    record = scene.record
    if record.timing is None:
        return None
    schedule = scene.fires(record.timing)
    _expect_next(scene, schedule)
    fresh = schedule.between(record.mark, scene.now.wall, CHUNK)
    due = sorted({*record.open, *(instant for instant in fresh if not record.decided(instant))})
    verdicts = {instant: _verdict(scene, schedule, instant) for instant in due}
    verdicts |= _not_caught_up(scene, verdicts, more=len(fresh) == CHUNK)
    fates, chosen, blamed = _taken(scene, schedule, verdicts)
    touched = [fate.instant for fate in fates if fate is not None] + ([chosen] if chosen else [])
    if not touched:
        return None
    after = fires.decide(fires.advance(record, max(touched[-1], record.mark), fresh), gathered(fates))
    job = None
    if chosen is not None:
        job = _job(scene, chosen, verdicts[chosen])
        after = fires.claim(after, job.claim)
    also, reads = _alive(scene, blamed)
    return Step(fires.bound(after, scene.me), also, reads, job)


def _verdict(scene: Scene, schedule: Fires, instant: datetime) -> Verdict:
    """What an instant gets for itself, whatever else is due or running."""
    if instant <= scene.cutoff:
        return scene.fate(instant, "missed", "")
    if scene.document.paused or scene.standing.paused:
        return scene.fate(instant, "skipped", PAUSED)
    if blackout := schedule.blacked_out(instant):
        return scene.fate(instant, "skipped", f"blackout: {blackout}")
    return "catch_up" if _is_late(scene, schedule, instant) else "schedule"


def _not_caught_up(scene: Scene, verdicts: Mapping[datetime, Verdict], more: bool) -> dict[datetime, Verdict]:
    """The late instants that the misfire policy gives up. ``more``: later ones are due beyond these."""
    document = scene.document
    late = [instant for instant, verdict in verdicts.items() if verdict == "catch_up"]
    wanted = {"skip": 0, "latest": 1, "all": min(document.misfire_cap, CHUNK // 2)}[document.misfire]
    if not late:
        return {}
    if document.misfire == "latest" and ("schedule" in verdicts.values() or more):
        wanted = 0
    given_up = late[: max(len(late) - wanted, 0)]
    if more:
        given_up = late[: CHUNK - wanted]
    oldest = scene.now.wall - timedelta(seconds=document.misfire_window)
    reason = {"skip": _why(scene, late[0]), "latest": SUPERSEDED, "all": BEYOND_CAP}[document.misfire]
    fates: dict[datetime, Verdict] = {instant: scene.fate(instant, "missed", reason) for instant in given_up}
    return fates | {instant: scene.fate(instant, "missed", TOO_OLD) for instant in late if instant <= oldest}


def _taken(
    scene: Scene, schedule: Fires, verdicts: Mapping[datetime, Verdict]
) -> tuple[list[Decision | None], datetime | None, Claim | None]:
    """What this node may act on now, oldest first: fates (None: left alone), the instant to claim, and the run for
    whose sake others are skipped. Nothing after a claim: that is for the next step, which sees it running."""
    fates: list[Decision | None] = []
    blamed = None
    for instant, verdict in verdicts.items():
        if not _is_my_turn(scene, schedule, instant):
            fates.append(None)
        elif isinstance(verdict, Decision):
            fates.append(verdict)
        elif not scene.record.runs or scene.document.overlap == "allow":
            return fates, instant, blamed
        elif verdict == "catch_up":
            # It waits for the run before it: to catch up "all" means one after the other.
            fates.append(None)
        else:
            blamed = scene.record.runs[-1]
            fates.append(scene.fate(instant, "skipped", OVERLAP))
    return fates, None, blamed


def _is_late(scene: Scene, schedule: Fires, instant: datetime) -> bool:
    return schedule.jittered(instant) < scene.now.wall - grace(scene.document)


def _is_my_turn(scene: Scene, schedule: Fires, instant: datetime) -> bool:
    if _is_late(scene, schedule, instant):
        return True
    turn = acts_at(scene.document, schedule.jittered(instant), scene.rank(instant))
    if turn > scene.now.wall:
        scene.waits.append(turn)
    return turn <= scene.now.wall


def _why(scene: Scene, since: datetime) -> str:
    hindrance = scene.standing.why(since, since + grace(scene.document))
    return hindrance or f"no bound node could claim it within {grace(scene.document).total_seconds():.0f} s"


def _job(scene: Scene, instant: datetime, verdict: Verdict) -> Job:
    trigger: Trigger = "catch_up" if verdict == "catch_up" else "schedule"
    entry = Claim(
        instant=instant,
        attempt=1,
        node=scene.me,
        session=scene.right.session,
        nonce=scene.new_nonce(),
        epoch=scene.epoch.id,
    )
    return Job(entry, scene.document, trigger, entry.session)


def _alive(scene: Scene, blamed: Claim | None) -> tuple[tuple[Compare, ...], tuple[str, ...]]:
    """A fire is skipped only for a run that is alive: an orphan is taken over first."""
    if blamed is None:
        return (), ()
    key = scene.session_key(blamed)
    return (Compare.exists(key),), (key,)


def _expect_next(scene: Scene, schedule: Fires) -> None:
    """Whatever this node's rank is for it: the turn for the instant after it may come before."""
    following = schedule.next(max(scene.record.mark, scene.now.wall))
    if following is not None:
        scene.waits.append(schedule.jittered(following))
