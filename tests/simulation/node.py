"""A simulated worker: what the asyncio service is in the product, in virtual time and under attack."""

from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

from coordination import documents
from coordination.documents import PipelineDocument, Tombstone
from coordination.fires import FireRecord
from coordination.gateway import Event, KeyValue
from coordination.memory import MemoryStore
from coordination.records import RunRecord
from tests.simulation.executions import SESSION_LOST, Execution
from tests.simulation.host import KEYS, Host
from tests.simulation.ledger import Ledger
from tests.simulation.schedule import make_fires
from tests.simulation.world import Etcd, World, seconds
from workers.engine.claims import SharedPlan
from workers.engine.claims_actions import Action, Incident, Reattached, Remember, Send, Start, Wake
from workers.engine.placement import Member, member
from workers.engine.plan import Kill, Note

SHIP = 2.0
NEVER_BEGAN = "its right to run was over before it began"
OUTLIVED = (SESSION_LOST, NEVER_BEGAN)


class Node(Host):
    """One host with one worker. What is durable: the journal, the remembered records, the cached documents."""

    def __init__(self, world: World, etcd: Etcd, ledger: Ledger, name: str, history: list[Execution]) -> None:
        super().__init__(world, etcd, name, history)
        self.ledger = ledger
        self.console_cut = False
        self.sees_records = True
        self.watch_delay = 0.02
        self.duration: Callable[[], float] = lambda: 1.0
        self.incidents: list[str] = []
        self.journal: list[RunRecord] = []
        self.shipped = 0
        self.known: dict[str, FireRecord] = {}
        self.cached: dict[str, PipelineDocument | Tombstone] = {}
        etcd.watchers.append(self._published)

    # -- life and death ---------------------------------------------------------------------------------------------

    def start(self) -> None:
        """The worker begins: survivors are dead already, unfinished runs are reported, the old session is revoked."""
        self._begin_life()
        self.plans: dict[str, SharedPlan] = {}
        self._wakes: dict[str, int] = {}
        self._report_lost()
        self._forget_watch()
        for document in list(self.cached.values()):
            self._take(document)
        self._tick(self.life)
        self._ship(self.life)

    def drain(self) -> None:
        """SIGTERM: nothing new."""
        if self.is_up:
            self.standing.stopping = True
            self._later(0.0, self._poll_all)

    def set_clock(self, skew: float) -> None:
        """Somebody sets the clock; timers on it fire anew."""
        self.world.trace(self.name, "clock", skew)
        self.skew = skew
        self._later(0.0, self._poll_all)

    def reconnect(self, anew: bool) -> None:
        """The link is back: the watch goes on where it was, or from a new snapshot."""
        if not self.is_up:
            return
        if anew:
            self._forget_watch()
        else:
            self._later(0.0, self._deliver)

    # -- watches ----------------------------------------------------------------------------------------------------

    def _forget_watch(self) -> None:
        """A new snapshot, and the watch from there."""
        self._queue: list[Event] = []
        self._watching = False
        life = self.life

        def snapshot(store: MemoryStore) -> tuple[tuple[KeyValue, ...], tuple[KeyValue, ...]]:
            if life == self.life:
                self._queue, self._watching = [], True
            return store.snapshot(KEYS.nodes()).items, store.snapshot(KEYS.pipelines(self.name)).items

        self._call(snapshot, self._listed, lambda _: self._later(1.0, self._forget_watch))

    def _listed(self, found: tuple[tuple[KeyValue, ...], tuple[KeyValue, ...]]) -> None:
        present, mine = found
        self._members: dict[str, Member] = {}
        for item in present:
            self._members[KEYS.parse_node(item.key)] = member(documents.decode_presence(item.value))
        self.standing.members = dict(self._members)
        for item in mine:
            self._take(documents.decode_document(item.value))
        self._poll_all()

    def _published(self, events: tuple[Event, ...]) -> None:
        if not self.is_up or not self._watching:
            return
        self._queue += [event for event in events if self._concerns(event.item.key)]
        if self._queue and not self.link.replies_lost:
            self._later(self.watch_delay * (1 + self.world.random.random()), self._deliver)

    def _concerns(self, key: str) -> bool:
        if key.startswith(KEYS.all_fires()):
            return self.sees_records
        return key.startswith((KEYS.nodes(), KEYS.pipelines(self.name)))

    def _deliver(self) -> None:
        if self.link.replies_lost or not self._queue:
            return
        events, self._queue = self._queue, []
        for event in events:
            self._event(event)
        self._poll_all()

    def _event(self, event: Event) -> None:
        key = event.item.key
        if key.startswith(KEYS.nodes()) and self.standing.members is not None:
            if event.kind == "put":
                self._members[KEYS.parse_node(key)] = member(documents.decode_presence(event.item.value))
            else:
                self._members.pop(KEYS.parse_node(key), None)
            self.standing.members = dict(self._members)
        elif key.startswith(KEYS.all_fires()) and event.kind == "put":
            plan = self.plans.get(key.rpartition("/")[2])
            if plan is not None:
                plan.record_seen(event.item, self.now())
        elif key.startswith(KEYS.all_pipelines()) and event.kind == "put":
            self._take(documents.decode_document(event.item.value))

    def _take(self, document: PipelineDocument | Tombstone) -> None:
        held = self.cached.get(document.pipeline)
        plan = self.plans.get(document.pipeline)
        if held is not None and held.generation >= document.generation and plan is not None:
            return
        if held is not None and held.generation > document.generation:
            return
        self.cached[document.pipeline] = document
        if isinstance(document, Tombstone):
            if plan is not None:
                at = datetime.fromtimestamp(document.generation / 1000, UTC)
                plan.removed(document.generation, at, "the pipeline was removed")
        elif document.placement == "every":
            if plan is not None:
                plan.removed(document.generation, document.not_before, "every node fires it by itself now")
        elif plan is not None:
            plan.document_changed(document)
        else:
            self.plans[document.pipeline] = SharedPlan(
                document,
                standing=self.standing,
                keys=KEYS,
                make_fires=make_fires,
                new_nonce=self.world.nonce,
                known=self.known.get(document.pipeline),
            )

    # -- the machine's actions --------------------------------------------------------------------------------------

    def _poll_all(self) -> None:
        for name in list(self.plans):
            self._poll(name)

    def _poll(self, name: str) -> None:
        plan = self.plans[name]
        if plan.done:
            del self.plans[name]
            return
        for action in plan.poll(self.now()):
            self._carry_out(name, plan, action)

    def _carry_out(self, name: str, plan: SharedPlan, action: Action) -> None:
        match action:
            case Send(transaction):
                self.world.trace(self.name, "send", transaction)
                self._call(
                    lambda store: store.transact(transaction.compares, transaction.then, transaction.otherwise),
                    lambda outcome: self._answered(name, plan, outcome),
                    lambda _: self._unanswered(name, plan),
                )
            case Remember(record):
                self.known[name] = record
            case Note(record):
                self.journal.append(record)
            case Start():
                self._journal_run(action, "running", "")
                self._later(0.005, self._exec, name, plan, action)
            case Reattached(run, session, deadline):
                self.guard.extend(session, deadline)
                self.guard.move(run, session)
            case Kill(run, reason):
                self._later(0.001, self.guard.kill, run, reason)
            case Incident(text):
                self.incidents.append(text)
            case Wake():
                self._set_wake(name, action)

    def _answered(self, name: str, plan: SharedPlan, outcome: Any) -> None:
        self.world.trace(self.name, "answered", outcome.succeeded, outcome.revision)
        plan.answered(outcome, self.now())
        self._poll(name)

    def _unanswered(self, name: str, plan: SharedPlan) -> None:
        self.world.trace(self.name, "unanswered", name)
        plan.unanswered(self.now())
        self._poll(name)

    def _set_wake(self, name: str, wake: Wake) -> None:
        delays = [] if wake.boot is None else [wake.boot - self.world.now]
        if wake.wall is not None:
            delays.append(seconds(wake.wall) - self.skew - self.world.now)
        self._wakes[name] = self._wakes.get(name, 0) + 1
        if delays:
            self._later(max(min(delays), 0.0) + 1e-6, self._woken, name, self._wakes[name])

    def _woken(self, name: str, ticket: int) -> None:
        if self._wakes[name] == ticket and name in self.plans:
            self._poll(name)

    def _exec(self, name: str, plan: SharedPlan, start: Start) -> None:
        def ended(state: str, reason: str) -> None:
            self._do(self.life, self._ended, plan, start, state, reason)

        execution = Execution(
            pipeline=name,
            instant=start.scheduled_at,
            attempt=start.attempt,
            node=self.name,
            run=start.run,
            fence=start.fence,
            start=self.world.now,
            ends_at=self.world.now + self.duration(),
            session=start.session,
            ended=ended,
        )
        if not self.guard.start(execution):
            ended("killed", NEVER_BEGAN)

    def _ended(self, plan: SharedPlan, start: Start, state: Any, reason: str) -> None:
        self._journal_run(start, state, reason)
        if reason in OUTLIVED:
            plan.outlived(start.run)
        else:
            plan.ended(start.run, state, reason)
        self._poll_all()

    def _journal_run(self, start: Start, state: Any, reason: str) -> None:
        self.journal.append(
            RunRecord(
                run=start.run,
                pipeline=start.document.pipeline,
                pipeline_name=start.document.name,
                state=state,
                trigger=start.trigger,
                scheduled_at=start.scheduled_at,
                attempt=start.attempt,
                reason=reason,
                shared=True,
            )
        )

    # -- the journal ------------------------------------------------------------------------------------------------

    def _report_lost(self) -> None:
        last = {record.run: record for record in self.journal}
        for record in last.values():
            if record.state == "running":
                self.journal.append(
                    RunRecord(
                        run=record.run,
                        pipeline=record.pipeline,
                        pipeline_name=record.pipeline_name,
                        state="lost",
                        trigger=record.trigger,
                        scheduled_at=record.scheduled_at,
                        attempt=record.attempt,
                        shared=True,
                    )
                )

    def _ship(self, life: int) -> None:
        """What the server has not, and the measure of the clock in its reply."""
        if not self.console_cut:
            first, batch = self.shipped, self.journal[self.shipped :]
            for record in batch:
                self.ledger.ingest(self.name, record)
            self.shipped = first + len(batch)
            self._later(0.01, self._shipped, batch)
        self._later(SHIP, self._ship, life)

    def _shipped(self, batch: list[RunRecord]) -> None:
        self.standing.measured(self.skew, self.now())
        for record in batch:
            plan = self.plans.get(record.pipeline)
            if plan is not None and record.state != "running":
                plan.ingested([(record.scheduled_at, record.attempt)])
        self._observe()
