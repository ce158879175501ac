"""What is due: a pure state machine over the pipelines that each bound node fires by itself.

Time is an argument of every method (aware UTC). The plan decides; it starts nothing. Every instant after a
pipeline's cursor ends in exactly one decision: a Fire, or a Note (skipped, missed, waiting), and the cursor never
moves back, so that neither an edit nor a clock set back makes an instant fire again.
"""

import heapq
from collections import deque
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from itertools import count
from typing import Protocol

from coordination.documents import PipelineDocument
from coordination.identity import fire_run_id, gap_run_id
from coordination.records import RunRecord, RunState, Trigger

CHUNK = 10_000
"""The most instants that one gap row stands for."""

SINGLY = 100
"""A stretch of so many instants or fewer is written row by row, a longer one as a gap with a count."""

PAUSE_REST = timedelta(seconds=60)
"""A paused pipeline is looked at this often, so that its skipped fires come as gaps, not one by one."""

AHEAD = timedelta(seconds=5)
"""A cursor further in the future than this was moved under a clock that was wrong."""

DOWN = "the worker was not running"
LATE = "the worker was stopped or too busy for longer than the grace, or its clock was set ahead"
PAUSED = "paused"
DRAINING = "the node is draining"
OVERLAP = "the previous run was still going"
REMOVED = "the pipeline was removed from this node"


class Fires(Protocol):
    """What the plan asks of a schedule."""

    @property
    def is_reboot(self) -> bool: ...

    def next(self, after: datetime) -> datetime | None: ...

    def previous(self, before: datetime) -> datetime | None: ...

    def between(self, start: datetime, end: datetime, limit: int) -> list[datetime]: ...

    def jittered(self, instant: datetime) -> datetime: ...

    def blacked_out(self, instant: datetime) -> str | None: ...


@dataclass(frozen=True, slots=True)
class Fire:
    """Run this pipeline now, for this instant."""

    document: PipelineDocument
    run: str
    scheduled_at: datetime
    trigger: Trigger


@dataclass(frozen=True, slots=True)
class Note:
    """Write this into the ledger: a fire that does not run, or has to wait."""

    record: RunRecord


@dataclass(frozen=True, slots=True)
class Kill:
    """End this run, for this reason."""

    run: str
    reason: str


Decision = Fire | Note | Kill


@dataclass(slots=True, eq=False)
class _Entry:
    document: PipelineDocument
    fires: Fires
    cursor: datetime
    next: datetime | None = None
    ticket: int = 0
    waiting: deque[tuple[datetime, Trigger]] = field(default_factory=deque)


class Plan:
    """The pipelines of one node.

    ``started_at`` is when this worker began: earlier instants are misfires. ``born`` is when its journal began:
    nothing before it can have been this node's to fire. ``cursors`` are the last instants decided in earlier lives.
    """

    def __init__(self, node: str, *, started_at: datetime, born: datetime, cursors: Mapping[str, datetime]) -> None:
        self._node = node
        self._started_at = started_at
        self._born = born
        self._cursors = dict(cursors)
        self._entries: dict[str, _Entry] = {}
        self._running: dict[str, set[str]] = {}
        self._heap: list[tuple[datetime, int, _Entry]] = []
        self._tickets = count(1)
        self._held: tuple[str, ...] = ()
        """Why nothing fires by its schedule, if nothing does."""

    def __len__(self) -> int:
        return len(self._entries)

    def document(self, pipeline: str) -> PipelineDocument | None:
        """The document acted on, if the plan holds the pipeline."""
        entry = self._entries.get(pipeline)
        return entry.document if entry else None

    def next_wake(self) -> datetime | None:
        """When ``due`` has something to do."""
        while self._heap and self._heap[0][2].ticket != self._heap[0][1]:
            heapq.heappop(self._heap)
        return self._heap[0][0] if self._heap else None

    def decided_until(self, now: datetime) -> datetime | None:
        """The instant up to which something is decided already although it is still to come: the clock was ahead for a
        while. None when nothing is. Looks at every pipeline."""
        ahead = max((entry.cursor for entry in self._entries.values()), default=now)
        return ahead if ahead > now + AHEAD else None

    def put(self, document: PipelineDocument, fires: Fires, now: datetime) -> list[Decision]:
        """Takes a document, new or changed. Instants up to its ``not_before`` are settled under the old one."""
        decisions: list[Decision] = []
        entry = self._entries.get(document.pipeline)
        if entry is None:
            cursor = max(self._cursors.pop(document.pipeline, self._born), document.not_before)
            entry = self._entries[document.pipeline] = _Entry(document, fires, cursor)
        else:
            decisions = self._settle(entry, min(document.not_before, now), now)
            entry.cursor = max(entry.cursor, document.not_before)
            entry.document, entry.fires = document, fires
        self._schedule(entry, now)
        return decisions

    def reboot(self) -> list[Decision]:
        """The worker has started and knows its pipelines: the ``@reboot`` ones fire, this once."""
        decisions: list[Decision] = []
        for entry in self._entries.values():
            if entry.fires.is_reboot and entry.document.not_before <= self._started_at:
                decisions += self._reboot(entry)
        return decisions

    def remove(self, pipeline: str, until: datetime, now: datetime) -> list[Decision]:
        """Forgets a pipeline, but not its cursor; its instants up to ``until`` (when it was removed) are settled."""
        entry = self._entries.pop(pipeline, None)
        if entry is None:
            return []
        decisions = self._settle(entry, min(until, now), now)
        entry.ticket = 0
        self._cursors[pipeline] = entry.cursor
        return decisions + self._drop_waiting(entry, REMOVED)

    def pause(self, paused: bool, now: datetime) -> list[Decision]:
        """The global switch. What passed until now is settled under the old position."""
        return self._hold(PAUSED, paused, now)

    def drain(self, draining: bool, now: datetime) -> list[Decision]:
        """This node begins nothing new, or does again. What passed until now is settled under the old position."""
        return self._hold(DRAINING, draining, now)

    def due(self, now: datetime, limit: int = 1000) -> list[Decision]:
        """The decisions that are due, oldest instants first, about ``limit`` at most: call again until it is empty."""
        decisions: list[Decision] = []
        while len(decisions) < limit and (wake := self.next_wake()) is not None and wake <= now:
            entry = heapq.heappop(self._heap)[2]
            decisions += self._decide(entry, now, now, catch_up=True)
            self._schedule(entry, now)
        return decisions

    def began(self, pipeline: str, run: str) -> None:
        """A run that the plan did not decide (by hand) is going; it counts for overlap."""
        self._running.setdefault(pipeline, set()).add(run)

    def ended(self, pipeline: str, run: str) -> list[Decision]:
        """A run is over: the first fire that waited for it may begin."""
        running = self._running.get(pipeline, set())
        running.discard(run)
        if running:
            return []
        self._running.pop(pipeline, None)
        entry = self._entries.get(pipeline)
        if entry is None or not entry.waiting:
            return []
        if reason := self._why_held(entry):
            return self._drop_waiting(entry, reason)
        instant, trigger = entry.waiting.popleft()
        return [self._fire(entry, instant, trigger)]

    # -- one pipeline -------------------------------------------------------------------------------------------

    def _hold(self, reason: str, on: bool, now: datetime) -> list[Decision]:
        if on == (reason in self._held):
            return []
        decisions: list[Decision] = []
        for entry in self._entries.values():
            decisions += self._settle(entry, now, now)
        self._held = tuple(sorted({*self._held, reason} if on else {*self._held} - {reason}))
        for entry in self._entries.values():
            self._schedule(entry, now)
        return decisions

    def _why_held(self, entry: _Entry) -> str:
        """Why it does not fire by its schedule; empty when it does."""
        if self._held:
            return self._held[0]
        return PAUSED if entry.document.paused else ""

    def _schedule(self, entry: _Entry, now: datetime) -> None:
        entry.next = entry.fires.next(entry.cursor)
        entry.ticket = next(self._tickets)
        if entry.next is not None:
            begins = entry.fires.jittered(entry.next)
            wake = max(begins, now + PAUSE_REST) if self._why_held(entry) else begins
            heapq.heappush(self._heap, (wake, entry.ticket, entry))

    def _settle(self, entry: _Entry, until: datetime, now: datetime) -> list[Decision]:
        """Decides every instant up to ``until`` without catching up: what was missed stays missed."""
        decisions: list[Decision] = []
        entry.next = entry.fires.next(entry.cursor)
        while entry.next is not None and entry.next <= until:
            decisions += self._decide(entry, until, now, catch_up=False)
            entry.next = entry.fires.next(entry.cursor)
        return decisions

    def _decide(self, entry: _Entry, until: datetime, now: datetime, *, catch_up: bool) -> list[Decision]:
        """Decides the next instant, or a whole stretch of instants with one fate, and moves the cursor past it."""
        if reason := self._why_held(entry):
            return self._stretch(entry, until, "skipped", reason)
        late = self._late(entry, until, now)
        if entry.next is not None and entry.next <= late:
            return self._misfired(entry, late, now, catch_up)
        if entry.next is None:
            return []
        entry.cursor = instant = entry.next
        if blackout := entry.fires.blacked_out(instant):
            return [self._note(entry, instant, "skipped", f"blackout: {blackout}")]
        return self._begin(entry, instant, "schedule")

    def _late(self, entry: _Entry, until: datetime, now: datetime) -> datetime:
        """Instants up to this one are misfires: past the grace, or while the worker was down. The jitter counts."""
        passed = max(self._started_at, now - timedelta(seconds=entry.document.misfire_grace))
        late = min(until, passed)
        if entry.document.jitter:
            last = entry.fires.previous(late + timedelta(microseconds=1))
            if last is not None and entry.fires.jittered(last) > passed:
                return last - timedelta(microseconds=1)
        return late

    def _misfired(self, entry: _Entry, late: datetime, now: datetime, catch_up: bool) -> list[Decision]:
        reason = DOWN if late <= self._started_at else LATE
        chosen = self._caught_up(entry, late, now) if catch_up else []
        bound = chosen[0] - timedelta(microseconds=1) if chosen else late
        decisions = self._stretch(entry, bound, "missed", reason)
        following = entry.fires.next(entry.cursor)
        if following is not None and following <= bound:
            return decisions
        for instant in chosen:
            decisions += self._begin(entry, instant, "catch_up")
        entry.cursor = max(entry.cursor, late)
        return decisions

    def _caught_up(self, entry: _Entry, late: datetime, now: datetime) -> list[datetime]:
        """The latest misfired instants that the policy still runs, oldest first."""
        document = entry.document
        wanted = {"skip": 0, "latest": 1, "all": document.misfire_cap}[document.misfire]
        oldest = max(entry.cursor, now - timedelta(seconds=document.misfire_window))
        chosen: deque[datetime] = deque()
        instant = entry.fires.previous(late + timedelta(microseconds=1)) if wanted else None
        while instant is not None and instant > oldest and len(chosen) < wanted:
            if not entry.fires.blacked_out(instant):
                chosen.appendleft(instant)
            instant = entry.fires.previous(instant)
        return list(chosen)

    def _stretch(self, entry: _Entry, until: datetime, state: RunState, reason: str) -> list[Decision]:
        """One fate for the next ``CHUNK`` instants up to ``until``."""
        instants = entry.fires.between(entry.cursor, until, CHUNK)
        if not instants:
            return []
        entry.cursor = instants[-1]
        if len(instants) <= SINGLY:
            return [self._note(entry, instant, state, reason) for instant in instants]
        run = gap_run_id(entry.document.pipeline, instants[0], self._node, reason)
        return [
            self._note(entry, instants[0], state, reason, run=run, number=len(instants), until=instants[-1]),
        ]

    def _begin(self, entry: _Entry, instant: datetime, trigger: Trigger) -> list[Decision]:
        """A fire, unless a run is going and the overlap policy says otherwise."""
        going = self._running.get(entry.document.pipeline, set())
        overlap = entry.document.overlap
        if overlap == "allow" or not (going or entry.waiting):
            return [self._fire(entry, instant, trigger)]
        if trigger == "catch_up":
            return [self._wait(entry, instant, trigger)]
        if overlap == "queue" and not entry.waiting:
            return [self._wait(entry, instant, trigger)]
        if overlap == "replace":
            kills: list[Decision] = [Kill(run, "replaced by the next fire") for run in sorted(going)]
            dropped = self._drop_waiting(entry, "replaced by the next fire")
            return [*kills, *dropped, self._wait(entry, instant, trigger)]
        reason = OVERLAP if overlap == "skip" else "one fire is waiting already"
        return [self._note(entry, instant, "skipped", reason)]

    def _reboot(self, entry: _Entry) -> list[Decision]:
        if reason := self._why_held(entry):
            return [self._note(entry, self._started_at, "skipped", reason)]
        return self._begin(entry, self._started_at, "schedule")

    def _fire(self, entry: _Entry, instant: datetime, trigger: Trigger) -> Fire:
        run = fire_run_id(entry.document.pipeline, instant, self._node)
        self.began(entry.document.pipeline, run)
        return Fire(entry.document, run, instant, trigger)

    def _wait(self, entry: _Entry, instant: datetime, trigger: Trigger) -> Note:
        entry.waiting.append((instant, trigger))
        return self._note(entry, instant, "running", "waiting for the previous run to end", trigger=trigger)

    def _drop_waiting(self, entry: _Entry, reason: str) -> list[Decision]:
        return [self._note(entry, instant, "skipped", reason, trigger=trigger) for instant, trigger in _drain(entry)]

    def _note(
        self,
        entry: _Entry,
        instant: datetime,
        state: RunState,
        reason: str,
        *,
        trigger: Trigger = "schedule",
        run: str = "",
        number: int = 1,
        until: datetime | None = None,
    ) -> Note:
        document = entry.document
        return Note(
            RunRecord(
                run=run or fire_run_id(document.pipeline, instant, self._node),
                pipeline=document.pipeline,
                pipeline_name=document.name,
                state=state,
                trigger=trigger,
                scheduled_at=instant,
                generation=document.generation,
                reason=reason,
                count=number,
                until=until,
            )
        )


def _drain(entry: _Entry) -> Iterator[tuple[datetime, Trigger]]:
    while entry.waiting:
        yield entry.waiting.popleft()
