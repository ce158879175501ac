"""Fires the shared pipelines: gives the claim protocol its events, and carries out what it asks for."""

import asyncio
import heapq
import logging
import secrets
from collections.abc import Callable, Coroutine, Iterable, Mapping, Sequence
from contextvars import Context
from datetime import datetime, timedelta
from itertools import count

from msgspec import Raw

from coordination import fires, logformat, records
from coordination.documents import PipelineDocument
from coordination.errors import CoordinationError
from coordination.fires import Timing, Transaction
from coordination.gateway import CALL_TIMEOUT, Gateway
from coordination.keys import Keys
from coordination.records import TERMINAL, RunRecord
from workers.engine.claims import SharedPlan
from workers.engine.claims_actions import Action, Incident, Reattached, Remember, Send, Start, Wake
from workers.engine.clock import Clock
from workers.engine.dispatch import STOPPING
from workers.engine.journal import Journal
from workers.engine.members import Members
from workers.engine.plan import Fires, Kill, Note
from workers.engine.shared_entry import Entry, MakeFires, remembered
from workers.engine.shared_runs import SharedRuns
from workers.engine.standing import Now, Standing
from workers.engine.timer import WallTimer

log = logging.getLogger(__name__)

HAMPERED = "this worker's journal could not be written"
"""Why it claims nothing then: after a crash nobody would know what it had begun."""

TRANSACTIONS = 128
"""Transactions that may be on their way at once."""

TICK = 1.0
"""Seconds between two looks at deadlines and at what stands in the way of claims."""

SETTLE_WITHIN = 3.0
"""Seconds that a stopping worker gives its claims to be answered, and again its endings."""


class Shared:
    """The shared pipelines of one worker. ``known`` are the records remembered from its earlier lives."""

    def __init__(
        self,
        *,
        standing: Standing,
        keys: Keys,
        gateway: Gateway,
        journal: Journal,
        clock: Clock,
        make_fires: MakeFires,
        known: Mapping[str, bytes],
        on_first: Callable[[], None],
        on_claim: Callable[[bool], None] = lambda granted: None,
    ) -> None:
        self._standing = standing
        self._keys = keys
        self._gateway = gateway
        self._journal = journal
        self._clock = clock
        self._make_fires = make_fires
        self._known = dict(known)
        self._on_first = on_first
        self._on_claim = on_claim
        self._entries: dict[str, Entry] = {}
        self._heap: list[tuple[datetime, int, Entry]] = []
        self._tickets = count(1)
        self._clocks_apart = 0.0
        self._timer = WallTimer()
        self._tasks: set[asyncio.Task[None]] = set()
        self._sending = asyncio.Semaphore(TRANSACTIONS)
        self._hindrance = ""
        self._has_begun = False
        self.runs: SharedRuns
        self.members = Members(keys, standing, self.poll_all)

    # -- documents ----------------------------------------------------------------------------------------------

    def document(self, pipeline: str) -> PipelineDocument | None:
        """The newest document, unless the pipeline is not held here, or not to be much longer."""
        entry = self._entries.get(pipeline)
        return entry.document if entry and not entry.is_leaving else None

    def put(self, document: PipelineDocument) -> None:
        """A document, new or changed; it holds from its ``not_before`` on. Raises ScheduleError."""
        self._make_fires(document)
        entry = self._entries.get(document.pipeline)
        if entry is None:
            entry = self._entries[document.pipeline] = self._entry(document)
        else:
            entry.document, entry.is_leaving = document, False
            entry.plan.document_changed(document)
        if not self._has_begun:
            self._has_begun = True
            self._on_first()
        self._poll(entry)

    def remove(self, pipeline: str, generation: int, at: datetime, reason: str, *, elsewhere: bool = False) -> None:
        """The pipeline is not fired as a shared one from here after ``at``."""
        entry = self._entries.get(pipeline)
        if entry is not None:
            entry.is_leaving = True
            entry.plan.removed(generation, at, reason, elsewhere=elsewhere)
            self._poll(entry)

    # -- what happens -------------------------------------------------------------------------------------------

    def pause(self, paused: bool) -> None:
        """The global switch."""
        if paused != self._standing.paused:
            self._standing.paused = paused
            self.poll_all()

    def drain(self, draining: bool) -> None:
        """This node claims nothing new, or does again."""
        self._standing.draining = draining
        self.poll_all()

    def kept_alive(self, session: str, sent: float, ttl: float) -> None:
        """The session lives for ``ttl`` seconds from ``sent`` (boot) on."""
        earlier = self._standing.right
        self._standing.kept_alive(session, sent, ttl)
        right = self._standing.right
        if right is not None:
            self.runs.renewed(right.session, right.deadline)
        if right is None or earlier is None or right.session != earlier.session:
            self.poll_all()

    def session_lost(self, session: str) -> None:
        """It is over."""
        self._standing.session_lost(session)
        self.poll_all()

    def measured(self, skew: float) -> None:
        """The node's clock is so many seconds ahead of the server's."""
        self._standing.measured(skew, self._now())

    def delivered(self, raw: Sequence[Raw]) -> None:
        """The console holds these records."""
        for pipeline, endings in _endings(raw).items():
            if (entry := self._entries.get(pipeline)) is not None:
                entry.plan.ingested(endings)

    def ended(self, pipeline: str, record: RunRecord, outlived: bool) -> None:
        """A shared run has ended; ``outlived``: because its right to run was over."""
        entry = self._entries.get(pipeline)
        if entry is None:
            return
        if outlived:
            entry.plan.outlived(record.run)
        else:
            entry.plan.ended(record.run, record.state, record.reason)
        self._poll(entry)

    # -- for ever -----------------------------------------------------------------------------------------------

    async def run(self) -> None:
        """Looks at each pipeline when it asked for it."""
        while True:
            wake = self._next_wake()
            now = self._clock.now()
            if wake is not None and wake <= now:
                self._poll(heapq.heappop(self._heap)[2])
                await asyncio.sleep(0)
            else:
                await self._timer.wait_until(wake)

    async def tick(self) -> None:
        """Looks at deadlines, and whether something came or went that stands in the way of claims."""
        while True:
            await self._clock.sleep(TICK)
            await self.runs.end_outlived()
            now = self._now()
            self._standing.hampered = HAMPERED if self._journal.is_in_need else ""
            self._standing.observe(now)
            hindrance = self._standing.hindrance(now)
            if hindrance != self._hindrance or self._was_set(now):
                self._hindrance = hindrance
                self.poll_all()

    async def settle(self) -> None:
        """Claims nothing more, and waits a little for the claims that are on their way."""
        self._standing.stopping = True
        self.poll_all()
        await self._until(lambda entry: not entry.plan.is_claiming and not entry.todo)

    async def finish(self) -> None:
        """Waits a little until the endings of all runs are recorded."""
        await self._until(lambda entry: not entry.plan.is_busy and not entry.todo)

    async def close(self) -> None:
        """Frees what was opened."""
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        self._timer.close()

    def poll_all(self) -> None:
        """Something happened that concerns every pipeline."""
        for entry in list(self._entries.values()):
            self._poll(entry)

    def incidents(self) -> tuple[str, ...]:
        """Why shared fires are not claimed, a sentence each."""
        found = [entry.plan.incident for entry in self._entries.values() if entry.plan.incident]
        if self._entries and self._hindrance and not (self._standing.draining or self._standing.stopping):
            found.append(f"shared pipelines are not fired here: {self._hindrance}")
        return tuple(found[:10])

    def void_epoch(self) -> int:
        """The epoch in which etcd has gone back in time, for the master to replace it; 0 when there is none."""
        epoch = self._standing.epoch
        is_void = any(entry.plan.incident for entry in self._entries.values())
        return epoch.id if epoch is not None and is_void else 0

    # -- one pipeline -------------------------------------------------------------------------------------------

    def _entry(self, document: PipelineDocument) -> Entry:
        def compiled(base: PipelineDocument, timing: Timing) -> Fires:
            return self._entries[base.pipeline].compiled(timing, self._make_fires)

        plan = SharedPlan(
            document,
            standing=self._standing,
            keys=self._keys,
            make_fires=compiled,
            new_nonce=lambda: secrets.token_hex(8),
            known=remembered(document.pipeline, self._known.get(document.pipeline)),
        )
        return Entry(plan, document)

    def _poll(self, entry: Entry) -> None:
        pipeline = entry.document.pipeline
        if entry.plan.done and not entry.todo:
            self._entries.pop(pipeline, None)
            entry.ticket = 0
            return
        now = self._now()
        try:
            *actions, wake = entry.plan.poll(now)
        except Exception:
            log.exception("pipeline %s: the claim protocol broke; trying again", entry.document.name)
            actions, wake = [], Wake(None, now.boot + CALL_TIMEOUT)
        assert isinstance(wake, Wake)
        self._wake(entry, wake, now)
        entry.todo.extend(actions)
        if entry.todo and not entry.is_carrying_out:
            entry.is_carrying_out = True
            self._spawn(self._carry_out(entry))

    def _wake(self, entry: Entry, wake: Wake, now: Now) -> None:
        walls = [] if wake.wall is None else [wake.wall]
        if wake.boot is not None:
            walls.append(now.wall + timedelta(seconds=max(wake.boot - now.boot, 0)))
        entry.ticket = next(self._tickets)
        if walls:
            heapq.heappush(self._heap, (min(walls), entry.ticket, entry))
            if self._heap[0][2] is entry:
                self._timer.nudge()

    def _next_wake(self) -> datetime | None:
        while self._heap and self._heap[0][2].ticket != self._heap[0][1]:
            heapq.heappop(self._heap)
        return self._heap[0][0] if self._heap else None

    async def _carry_out(self, entry: Entry) -> None:
        """In the order in which it was asked for; only an answer of etcd is not waited for."""
        logformat.speak_of(pipeline=entry.document.name, pipeline_id=entry.document.pipeline)
        try:
            while entry.todo:
                await self._do(entry, entry.todo[0])
                entry.todo.popleft()
        finally:
            entry.is_carrying_out = False

    async def _do(self, entry: Entry, action: Action) -> None:
        match action:
            case Send(transaction):
                self._spawn(self._send(entry, transaction))
            case Remember(record):
                await self._journal.remember(entry.document.pipeline, fires.encode(record))
            case Note(row):
                await self._journal.state(row)
            case Start():
                await self._start(entry, action)
            case Reattached(run, session, deadline):
                self.runs.move(run, session, deadline)
            case Kill(run, reason):
                await self.runs.kill(run, reason)
            case Incident(text):
                log.error("%s", text)

    async def _start(self, entry: Entry, order: Start) -> None:
        if self.runs.start(order):
            return
        row = RunRecord(
            run=order.run,
            pipeline=order.document.pipeline,
            pipeline_name=order.document.name,
            state="missed",
            trigger=order.trigger,
            scheduled_at=order.scheduled_at,
            generation=order.document.generation,
            attempt=order.attempt,
            reason=STOPPING,
            shared=True,
        )
        await self._journal.state(row)
        entry.plan.ended(order.run, row.state, row.reason)
        self._poll(entry)

    async def _send(self, entry: Entry, transaction: Transaction) -> None:
        logformat.speak_of(pipeline=entry.document.name, pipeline_id=entry.document.pipeline)
        try:
            async with self._sending:
                outcome = await self._gateway.transact(transaction.compares, transaction.then, transaction.otherwise)
        except CoordinationError as error:
            log.warning("pipeline %s: etcd: %s", entry.document.name, error)
            entry.plan.unanswered(self._now())
        else:
            granted = entry.plan.answered(outcome, self._now())
            if granted is not None:
                self._on_claim(granted)
        self._poll(entry)

    # -- helpers ------------------------------------------------------------------------------------------------

    def _now(self) -> Now:
        return Now(self._clock.now(), self._clock.boottime())

    def _was_set(self, now: Now) -> bool:
        """Whether somebody set the wall clock since the last look: then every wake has to be reckoned anew."""
        before, self._clocks_apart = self._clocks_apart, now.wall.timestamp() - now.boot
        return abs(self._clocks_apart - before) > TICK / 2

    def _spawn(self, work: Coroutine[None, None, None]) -> None:
        # Not in the context of a run that may have led to it: its lines would name that run.
        task = asyncio.create_task(work, context=Context())
        self._tasks.add(task)
        task.add_done_callback(self._over)

    def _over(self, task: asyncio.Task[None]) -> None:
        self._tasks.discard(task)
        if not task.cancelled() and (error := task.exception()) is not None:
            log.error("a shared fire broke", exc_info=error)

    async def _until(self, quiet: Callable[[Entry], bool]) -> None:
        deadline = self._clock.monotonic() + SETTLE_WITHIN
        while self._clock.monotonic() < deadline and not all(quiet(entry) for entry in self._entries.values()):
            await self._clock.sleep(0.02)


def _endings(raw: Iterable[Raw]) -> dict[str, list[tuple[datetime, int]]]:
    """The instants and attempts of shared runs that have ended, by pipeline."""
    found: dict[str, list[tuple[datetime, int]]] = {}
    for body in raw:
        if b'"shared":true' in bytes(body):
            record = records.decode_record(body)
            if isinstance(record, RunRecord) and record.state in TERMINAL:
                found.setdefault(record.pipeline, []).append((record.scheduled_at, record.attempt))
    return found
