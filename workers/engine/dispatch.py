"""Carries out what the plan decides: starts runs, writes the ledger, ends runs, and drains at the end."""

import asyncio
import logging
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass

from coordination import logformat
from coordination.documents import PipelineDocument
from coordination.records import RunRecord, RunState
from workers.engine.capacity import Begin, Capacity, Place
from workers.engine.clock import Clock
from workers.engine.execution import Execution, RunSpec
from workers.engine.journal import Journal
from workers.engine.plan import Decision, Fire, Kill, Note, Plan

log = logging.getLogger(__name__)

MakeExecution = Callable[[PipelineDocument, RunSpec], Execution]
OnEnded = Callable[[RunRecord], None]
"""Is told of every run's end, which is durable by then."""

TELL_AFTER = 1.0
"""Seconds that a run waits for a place before the ledger says so: a burst of short runs is over by then."""

STOPPING = "the worker is shutting down"


@dataclass(slots=True, eq=False)
class _Going:
    """A run from its launch to its end. ``placed``: it does not wait for a place any more; ``told``: the ledger says
    that it waits."""

    document: PipelineDocument
    spec: RunSpec
    begin: Begin
    task: asyncio.Task[None] | None = None
    execution: Execution | None = None
    placed: bool = False
    told: bool = False
    killed: str = ""

    @property
    def waits(self) -> bool:
        return not self.placed and not self.killed


class Dispatcher:
    """The runs that are going on this node. At most ``capacity`` at once; the rest wait in order and say so."""

    def __init__(
        self,
        *,
        plan: Plan,
        journal: Journal,
        capacity: Capacity,
        make_execution: MakeExecution,
        clock: Clock,
        on_ended: OnEnded = lambda record: None,
    ) -> None:
        self._plan = plan
        self._journal = journal
        self._capacity = capacity
        self._make_execution = make_execution
        self._on_ended = on_ended
        self._clock = clock
        self._going: dict[str, _Going] = {}
        self._telling: asyncio.Task[None] | None = None
        self._stopping = False

    @property
    def running(self) -> int:
        """Runs begun and not ended, the waiting ones included."""
        return len(self._going)

    async def carry_out(self, decisions: Sequence[Decision]) -> None:
        """Starts fires and journals notes, in the order in which they were decided.

        The notes are handed to the journal before the fires begin, so that the cursor never passes an instant
        whose fate is not written yet.
        """
        notes = [decision.record for decision in decisions if isinstance(decision, Note)]
        writing = asyncio.create_task(self._journal.state(*notes)) if notes else None
        for decision in decisions:
            if isinstance(decision, Fire):
                spec = RunSpec(run=decision.run, trigger=decision.trigger, scheduled_at=decision.scheduled_at)
                self._launch(decision.document, spec)
            elif isinstance(decision, Kill):
                await self.kill(decision.run, decision.reason)
        if writing is not None:
            await writing

    def start(self, document: PipelineDocument, spec: RunSpec) -> bool:
        """Begins a run that the plan did not decide: by hand, or claimed. False: not while the worker stops."""
        if self._stopping:
            return False
        self._plan.began(document.pipeline, spec.run)
        self._launch(document, spec)
        return True

    async def kill(self, run: str, reason: str) -> bool:
        """Ends a run, going or waiting. False when there is no such run here."""
        going = self._going.get(run)
        if going is None:
            log.info("asked to kill run %s, which is not going here", run, extra={"run": run})
            return False
        going.killed = going.killed or reason
        if going.execution is not None:
            going.execution.cancel(reason)
        elif self._capacity.withdraw(going.begin):
            self._follow(going)
        return True

    async def drain(self, grace: float) -> None:
        """No new runs; those going get ``grace`` seconds, then are killed and waited for."""
        self._stopping = True
        await self._ended_within(grace)
        for run in list(self._going):
            await self.kill(run, STOPPING)
        await self._ended_within(None)

    def kill_all(self) -> None:
        """A second request to stop: the grace is over now."""
        for going in self._going.values():
            if going.execution is not None:
                going.execution.cancel(STOPPING)
                going.execution.cancel(STOPPING)

    async def _ended_within(self, seconds: float | None) -> None:
        with suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                # Those that waited begin as others end.
                while tasks := [going.task for going in self._going.values() if going.task is not None]:
                    await asyncio.wait(tasks)

    def _launch(self, document: PipelineDocument, spec: RunSpec) -> None:
        if self._stopping or spec.run in self._going:
            return
        going = self._going[spec.run] = _Going(document, spec, lambda: self._begin(going))
        if not self._capacity.enter(going.begin) and (self._telling is None or self._telling.done()):
            self._telling = asyncio.create_task(self._tell_of_waiting(), name="tell of waiting")

    def _begin(self, going: _Going) -> None:
        going.placed = True
        self._follow(going)

    def _follow(self, going: _Going) -> None:
        going.task = asyncio.create_task(self._run(going), name=f"run {going.spec.run}")

    async def _run(self, going: _Going) -> None:
        document, spec = going.document, going.spec
        # For all that is logged in this task.
        logformat.speak_of(run=spec.run, pipeline=document.name, pipeline_id=document.pipeline)
        log.debug("begins, scheduled at %s (%s)", spec.scheduled_at.isoformat(), spec.trigger)
        try:
            record = await self._execute(going)
        except Exception:
            log.exception("%s broke", document.name)
            record = _record(going, "failed", "the worker broke while running it; see the worker's log")
            await self._journal.state(record)
        finally:
            del self._going[spec.run]
            decisions = self._plan.ended(document.pipeline, spec.run)
            await self.carry_out(decisions)
        level = logging.DEBUG if record.state == "succeeded" else logging.INFO
        log.log(level, "%s %s%s", document.name, record.state, record.reason and f": {record.reason}")
        self._on_ended(record)

    async def _execute(self, going: _Going) -> RunRecord:
        if not going.placed:
            record = _record(going, "killed", going.killed)
            await self._journal.state(record)
            return record
        place = Place(self._capacity)
        try:
            going.execution = self._make_execution(going.document, going.spec)
            if going.killed:
                going.execution.cancel(going.killed)
            # The place is free for the next as soon as nothing works any more, not only when the end is on disk.
            return await going.execution.run(place.release)
        finally:
            place.release()

    async def _tell_of_waiting(self) -> None:
        """Has the ledger say of runs that they wait, as long as there are such."""
        while waiting := [going for going in self._going.values() if going.waits and not going.told]:
            await self._clock.sleep(TELL_AFTER)
            reason = self._capacity.waiting_reason()
            late = [going for going in waiting if going.waits]
            for going in late:
                going.told = True
            await self._journal.state(*(_record(going, "running", reason) for going in late))


def _record(going: _Going, state: RunState, reason: str) -> RunRecord:
    document, spec = going.document, going.spec
    return RunRecord(
        run=spec.run,
        pipeline=document.pipeline,
        pipeline_name=document.name,
        state=state,
        trigger=spec.trigger,
        scheduled_at=spec.scheduled_at,
        generation=document.generation,
        attempt=spec.attempt,
        reason=reason,
        shared=spec.fence is not None,
    )
