"""The claim protocol of one shared pipeline, as a machine without input or output.

The service keeps one ``Standing`` for the process and one ``SharedPlan`` for each pipeline with placement
``one_sticky`` or ``one_spread``. It tells them what happens, and after everything that happens, and at each ``Wake``,
calls ``poll(now)`` and carries out the actions, in their order:

- ``Remember``: keep this record durably under the pipeline (it comes back as ``known`` after a restart).
- ``Note``: journal this ledger row. When ingest has taken it: ``ingested``.
- ``Send``: give the transaction to the gateway; then call ``answered`` with the outcome, or ``unanswered`` when it
  raised Unavailable, whatever the deadline. Until one of the two is called, nothing further is sent. Any other error
  is an incident of the service's own and counts as unanswered.
- ``Start``: journal the run, then execute it; not after ``deadline`` (boot seconds), which moves on with each
  keep-alive of the session it names. The guard kills at the deadline of a run's session. Then ``ended``.
- ``Reattached``: the run's deadline is now that of this session.
- ``Kill``: this run is no longer ours; end it, then ``ended``. One that was killed at its deadline: ``outlived``.
- ``Incident``: say this sentence to the console.
- ``Wake``: poll again then, at the latest; always the last action.

What happens to the process goes to ``Standing``: ``kept_alive``, ``session_lost``, ``epoch_seen``, ``measured``,
``members``, ``draining`` and ``stopping``. After a restart the service kills what survived, revokes its old session,
and only then polls. A change of placement is, on this side, a document like any other, or ``removed`` at the
``not_before`` of the document that says ``every``; an instant to come there makes all nodes change over together.

The rules are those of the design's section 6: one compare-and-set on the whole record for each transition; nothing
runs before its claim is answered; an ambiguous transaction is repeated, the same, until it is answered.
"""

from collections.abc import Callable, Iterable
from datetime import datetime

from msgspec import structs

from coordination import fires
from coordination.documents import PipelineDocument
from coordination.fires import Claim, FireRecord, Seen
from coordination.gateway import Compare, KeyValue, Outcome
from coordination.identity import SHARED, fire_run_id
from coordination.keys import Keys
from coordination.records import RunState
from coordination.upkeep import ledger_row
from workers.engine.claims_actions import Action, Incident, Reattached, Remember, Send, Wake, begin
from workers.engine.claims_change import adopt_step, first_record, inherited, needs_adoption, repair_step
from workers.engine.claims_fire import fire_step
from workers.engine.claims_runs import Probes, finish_step, reattach_step, takeover_step
from workers.engine.claims_scene import Flight, Job, MakeFires, Phase, Scene, Step
from workers.engine.plan import Kill, Note
from workers.engine.standing import Now, Standing

RETRY = 0.5
"""Seconds before an ambiguous transaction is repeated."""

BACKOFF = 1.0
"""Seconds before the next try after a transaction was refused although the record had not changed."""

EPOCH_POLL = 2.0
"""Seconds between two looks for an epoch while there is none, or none that the record fits."""

TRIM_AT = 50
"""So many ingested decisions in a record are trimmed for their own sake; fewer go along with the next transition."""


class SharedPlan:
    """One shared pipeline on one node. ``known`` is the record last remembered, if any."""

    def __init__(
        self,
        document: PipelineDocument,
        *,
        standing: Standing,
        keys: Keys,
        make_fires: MakeFires,
        new_nonce: Callable[[], str],
        known: FireRecord | None = None,
    ) -> None:
        self._standing = standing
        self._keys = keys
        self._make_fires = make_fires
        self._new_nonce = new_nonce
        self._known = known
        self._pipeline = document.pipeline
        self._document = document
        self._phases = [Phase(document.generation, document.not_before, document)]
        self._seen: Seen | None = None
        self._flight: Flight | None = None
        self._jobs: dict[str, Job] = {}
        self._probes = Probes()
        self._told: set[tuple[datetime, int]] = set()
        self._ingested: set[tuple[datetime, int]] = set()
        self._resting_until = float("-inf")
        self._incident = ""
        self._actions: list[Action] = []

    # -- what happens -------------------------------------------------------------------------------------------

    @property
    def done(self) -> bool:
        """The pipeline is gone from here and nothing of it is left to do."""
        phase, record = self._phases[0], self._seen.record if self._seen else None
        if len(self._phases) > 1 or phase.document is not None or self._jobs or self._flight:
            return False
        if phase.elsewhere:
            return True
        return record is not None and (record.timing is None or record.timing.generation >= phase.generation)

    @property
    def is_claiming(self) -> bool:
        """A claim is on its way, or granted and not begun."""
        return any(job.state in ("claiming", "granted") for job in self._jobs.values())

    @property
    def is_busy(self) -> bool:
        """A transaction is not answered, or a run is not recorded as ended."""
        return self._flight is not None or bool(self._jobs)

    @property
    def incident(self) -> str:
        """What is wrong with its record now; empty when nothing is."""
        return self._incident

    def document_changed(self, document: PipelineDocument) -> None:
        """A newer document; it holds from its ``not_before`` on."""
        self._enter(Phase(document.generation, document.not_before, document))

    def removed(self, generation: int, at: datetime, reason: str, *, elsewhere: bool = False) -> None:
        """The pipeline is not to be fired as shared from this node any more after ``at``; ``elsewhere``: from other
        nodes it still is."""
        self._enter(Phase(generation, at, None, reason, elsewhere))

    def record_seen(self, item: KeyValue | None, now: Now) -> None:
        """The record as a watch shows it, which may be late: anything older than what is known is ignored."""
        if item is not None and self._seen is not None and item.mod_revision > self._seen.mod_revision:
            self._look_at(fires.seen(item), now)

    def answered(self, outcome: Outcome, now: Now) -> bool | None:
        """The transaction sent last was carried out or refused. If it was a claim: whether it is granted."""
        flight, self._flight = self._flight, None
        if flight is None:
            return None
        job = flight.step.job if flight.step is not None else None
        if outcome.succeeded and flight.after is not None:
            if job is not None:
                job.fence = outcome.revision
            if flight.step is not None and flight.step.orphaned_by:
                self._probes.suspect(flight.step.orphaned_by)
            self._look_at(Seen(flight.after, outcome.revision), now)
        else:
            self._read(flight, outcome, now)
        self._forget_refused()
        return job.claim.nonce in self._jobs if job is not None else None

    def unanswered(self, now: Now) -> None:
        """Nobody knows whether the transaction sent last was carried out, or will be: it is repeated."""
        if self._flight is not None:
            self._flight.repeat_at = now.boot + RETRY

    def ended(self, run: str, state: RunState, reason: str) -> None:
        """A run that was started has ended, and its ending is in the journal."""
        for job in self._jobs.values():
            if job.state in ("running", "lost") and self._run_id(job.claim) == run:
                job.state, job.ending = "ended", (state, reason)
        self._forget_ended()

    def outlived(self, run: str) -> None:
        """A run was ended because the right to run it was over: it is an orphan like that of a node that vanished."""
        self._jobs = {nonce: job for nonce, job in self._jobs.items() if self._run_id(job.claim) != run}

    def ingested(self, instants: Iterable[tuple[datetime, int]]) -> None:
        """The ledger holds what this node journaled of these ``(instant, attempt)``."""
        self._ingested.update(instants)

    # -- what follows -------------------------------------------------------------------------------------------

    def poll(self, now: Now) -> list[Action]:
        """What to do now; the last action is the Wake."""
        self._standing.observe(now)
        self._turn_phases(now)
        waits: list[datetime] = [phase.at for phase in self._phases]
        if self._flight is None:
            self._launch(now, waits)
        elif self._flight.repeat_at is not None and now.boot >= self._flight.repeat_at:
            self._flight.repeat_at = None
            self._actions.append(Send(self._flight.transaction))
        actions, self._actions = self._actions, []
        return [*actions, self._wake(now, waits)]

    def _launch(self, now: Now, waits: list[datetime]) -> None:
        if now.boot < self._resting_until:
            return
        if self._seen is None or self._standing.epoch is None or self._is_rolled_back():
            self._fly(Flight(fires.read(self._keys, self._pipeline)))
            self._resting_until = now.boot + EPOCH_POLL
            return
        right, epoch = self._standing.right, self._standing.epoch
        if right is None or not self._standing.has_right(now):
            return
        self._forget_outlived(right.session, epoch.id, now)
        step = self._step(now, waits)
        if step is None:
            return
        record = step.record if not step.settles else structs.replace(step.record, inherited=None)
        after = fires.next_version(self._seen, fires.trim(record, self._ingested, now.wall))
        own = self._keys.session(self._standing.node, right.session)
        also = (Compare.exists(own), *step.also)
        reads = (own, *step.reads)
        transaction = fires.write(self._keys, self._pipeline, self._seen, after, epoch, *also, reads=reads)
        if step.job is not None:
            step.job.fence = self._seen.mod_revision + 1
            self._jobs[step.job.claim.nonce] = step.job
        self._fly(Flight(transaction, after, step, self._seen.mod_revision))

    def _step(self, now: Now, waits: list[datetime]) -> Step | None:
        """The one transition to propose, in the order of urgency."""
        standing, epoch, phase = self._standing, self._standing.epoch, self._phases[0]
        assert self._seen is not None
        assert epoch is not None
        better = inherited(self._known, self._seen.record, epoch)
        if better is not None:
            return Step(better, settles=False)
        record = self._seen.record
        if record is None or record.epoch != epoch.id:
            if phase.document is None or phase.at > now.wall or standing.hindrance(now):
                return None
            record = first_record(epoch, phase.at)
        assert standing.right is not None
        scene = Scene(
            self._keys, phase, self._document, record, epoch, standing.right, standing, now, self._jobs,
            self._make_fires, self._new_nonce, waits,
        )  # fmt: skip
        # A bad clock may not be the one to end the time in which memories are compared.
        settling = standing.settling(now) or (record.inherited is not None and standing.clock_trouble(now) != "")
        step = reattach_step(scene) or (None if settling else finish_step(scene))
        if step is not None or phase.elsewhere or standing.hindrance(now) or phase.at > now.wall:
            return step
        if self._is_outdated(record):
            return None
        return self._decision(scene)

    def _decision(self, scene: Scene) -> Step | None:
        step = repair_step(scene) or takeover_step(scene, self._probes) or adopt_step(scene)
        if step is None and scene.phase.document is not None and not needs_adoption(scene):
            step = fire_step(scene)
        if step is None and len(self._ingested) >= TRIM_AT:
            trimmed = fires.trim(scene.record, self._ingested, scene.now.wall)
            step = None if trimmed is scene.record else Step(trimmed)
        return step

    # -- the view -----------------------------------------------------------------------------------------------

    def _read(self, flight: Flight, outcome: Outcome, now: Now) -> None:
        """What the store shows instead. It was read by the transaction, so it is the truth, however old it looks."""
        items = fires.found(outcome)
        epoch = items.get(self._keys.epoch())
        self._standing.epoch_seen(epoch.value if epoch else None)
        self._look_at(fires.seen(items.get(self._keys.fires(self._pipeline))), now)
        if flight.after is None:
            can_go_on = self._standing.epoch is not None and not self._is_rolled_back()
            self._resting_until = float("-inf") if can_go_on else self._resting_until
        elif self._seen is not None and self._seen.mod_revision == flight.before:
            self._refused_unchanged(flight, items, now)
        elif flight.step is not None and flight.step.orphaned_by:
            self._probes.suspect(flight.step.orphaned_by)  # The record had moved on: nothing is known of the session.

    def _refused_unchanged(self, flight: Flight, items: dict[str, KeyValue], now: Now) -> None:
        """Refused for the sake of a session: an orphan's that lives (its next probe is set), the one that a fire was to
        be skipped for (then its runs are orphans), or our own (then there is nothing to do but wait for a new one)."""
        orphans = [key for key in (flight.step.reads if flight.step else ()) if key not in items]
        for key in orphans:
            self._probes.suspect(key)
        right = self._standing.right
        own_lives = right is not None and self._keys.session(self._standing.node, right.session) in items
        if not own_lives or not (orphans or (flight.step and flight.step.orphaned_by)):
            self._resting_until = now.boot + BACKOFF

    def _look_at(self, seen: Seen, now: Now) -> None:
        self._seen = seen
        record, epoch = seen.record, self._standing.epoch
        if record is not None and epoch is not None and record.epoch > epoch.id:
            self._standing.epoch = None  # A newer one is there: read it.
            return
        if record is None or epoch is None or record.epoch != epoch.id or self._is_rolled_back():
            return
        if inherited(self._known, record, epoch) is None and record != self._known:
            self._known = record
            self._actions.append(Remember(record))
        self._tell(record)
        for job in list(self._jobs.values()):
            self._compare(job, record, now)
        self._forget_ended()

    def _compare(self, job: Job, record: FireRecord, now: Now) -> None:
        """What the record says of a run of ours."""
        entry = record.run(job.claim.nonce)
        if entry is None:
            if job.state == "running" and not record.inherited:
                job.state = "lost"
                self._actions.append(Kill(self._run_id(job.claim), "another node has taken this run over"))
            elif job.state == "granted" and not record.inherited:
                del self._jobs[job.claim.nonce]
            return
        moved = entry.session != job.claim.session
        job.claim = entry
        right = self._standing.right
        if job.state == "claiming":
            job.state = "granted"
        if right is None or right.session != entry.session or not self._standing.has_right(now):
            return
        job.session = entry.session
        if job.state == "granted":
            job.state = "running"
            self._actions.append(begin(job, self._run_id(entry), right.deadline))
        elif job.state == "running" and moved:
            self._actions.append(Reattached(self._run_id(entry), entry.session, right.deadline))

    def _tell(self, record: FireRecord) -> None:
        """Journals the decisions of this node that the record holds, those of an earlier life included."""
        mine = {
            (entry.instant, entry.attempt): entry
            for entry in record.recent
            if entry.node == self._standing.node and entry.state in ("skipped", "missed")
        }
        document = self._document
        for entry in (entry for key, entry in mine.items() if key not in self._told):
            row = ledger_row(self._pipeline, document.name, document.generation, entry)
            self._actions.append(Note(row))
        self._told = set(mine)
        self._ingested &= {(entry.instant, entry.attempt) for entry in record.recent}

    def _run_id(self, entry: Claim) -> str:
        return fire_run_id(self._pipeline, entry.instant, SHARED, entry.attempt)

    def _forget_outlived(self, session: str, epoch: int, now: Now) -> None:
        """A claim that has not begun and may not any more is an orphan."""
        for nonce, job in list(self._jobs.items()):
            if job.state == "granted" and job.session != session and not job.may_move(epoch, self._standing, now):
                del self._jobs[nonce]

    def _forget_refused(self) -> None:
        """The transaction is answered: a claim that is not in the record by now never will be."""
        record = self._seen.record if self._seen else None
        for nonce, job in list(self._jobs.items()):
            if job.state == "claiming" and (record is None or record.run(nonce) is None):
                del self._jobs[nonce]

    def _forget_ended(self) -> None:
        """An ending is told when the epoch's record has no run for it; an inherited one may get it back."""
        record, epoch = self._seen.record if self._seen else None, self._standing.epoch
        if record is None or epoch is None or record.epoch != epoch.id or record.inherited:
            return
        for nonce, job in list(self._jobs.items()):
            if job.state == "ended" and record.run(nonce) is None:
                del self._jobs[nonce]

    def _is_rolled_back(self) -> bool:
        """etcd holds less than it once did, in the same epoch: it was restored or edited. Only a new epoch helps."""
        known, epoch = self._known, self._standing.epoch
        if known is None or epoch is None or known.epoch != epoch.id or self._seen is None:
            return False
        record = self._seen.record
        rolled_back = record is None or record.epoch != epoch.id or record.version < known.version
        text = f"etcd has gone back in time for pipeline {self._pipeline}: begin a new epoch" if rolled_back else ""
        if text and text != self._incident:
            self._actions.append(Incident(text))
        self._incident = text
        return rolled_back

    def _is_outdated(self, record: FireRecord) -> bool:
        """Newer documents are out than this node has: it waits for its own."""
        return record.generation > self._phases[-1].generation

    # -- phases and time ----------------------------------------------------------------------------------------

    def _enter(self, phase: Phase) -> None:
        """A later word counts, also against what was announced for later than it."""
        if phase.generation > self._phases[-1].generation:
            self._phases = [self._phases[0], *(held for held in self._phases[1:] if held.at < phase.at), phase]

    def _turn_phases(self, now: Now) -> None:
        """The last phase whose time has come holds; those before it are history."""
        while len(self._phases) > 1 and self._phases[1].at <= now.wall:
            self._phases.pop(0)
        self._document = self._phases[0].document or self._document

    def _fly(self, flight: Flight) -> None:
        self._flight = flight
        self._actions.append(Send(flight.transaction))

    def _wake(self, now: Now, waits: list[datetime]) -> Wake:
        boots = [self._resting_until, self._probes.next()]
        if self._flight is not None:
            boots = [self._flight.repeat_at]
        if self._standing.epoch is not None:
            waits.append(self._standing.epoch.settled_at)
        walls = [wait for wait in waits if wait > now.wall]
        later = [boot for boot in boots if boot is not None and boot > now.boot]
        return Wake(min(walls, default=None), min(later, default=None))
