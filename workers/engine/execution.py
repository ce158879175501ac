"""A run: its steps in order, side by side where they share a position, its time limit, its end."""

import asyncio
from collections.abc import Callable, Mapping
from datetime import datetime

from msgspec import structs

from coordination.documents import PipelineDocument
from coordination.records import RunRecord, RunState, StepRecord
from workers.engine.clock import Clock
from workers.engine.context import Result, RunContext, RunSpec
from workers.engine.interruption import Interruptible, Interruption
from workers.engine.ledger import Ledger, Sink
from workers.engine.masking import Secrets
from workers.engine.output import DEFAULT_CAP, StepOutput
from workers.engine.runners.base import RunnerSet
from workers.engine.steps import PlannedStep, StepRun, Surroundings, closing_step, planned_steps
from workers.engine.templates import Templates

__all__ = ["Execution", "RunSpec", "Sink"]


class Execution:
    """One run of a pipeline on this node.

    ``secrets`` are the document's, opened; one that could not be opened is left out. ``output_cap`` is in bytes for
    each step. ``on_begun`` is told the instant (aware UTC) at which its work began, once for each run.
    """

    def __init__(
        self,
        document: PipelineDocument,
        run: RunSpec,
        secrets: Mapping[str, str],
        sink: Sink,
        clock: Clock,
        runners: RunnerSet,
        *,
        output_cap: int = DEFAULT_CAP,
        on_begun: Callable[[datetime], None] = lambda at: None,
    ) -> None:
        self._document = document
        self._spec = run
        self._sink = sink
        self._clock = clock
        self._runners = runners
        self._output_cap = output_cap
        self._on_begun = on_begun
        self._has_begun = False
        self._groups = planned_steps(document)
        self._context = RunContext(document, run)
        self._work = Interruptible(clock)
        self._closing = Interruptible(clock)
        self._shared = Surroundings(
            context=self._context,
            opened=dict(secrets),
            secrets=Secrets(secrets.values()),
            templates=Templates(self._context.values, secrets, set(document.secrets)),
            ledger=Ledger(sink),
            clock=clock,
            runners=runners,
            begun=self._begun,
        )

    def cancel(self, reason: str) -> None:
        """Ends the run as ``killed``, every process of it; ``run`` returns when that is done. A second call ends the
        grace that its processes have. No success or failure task follows."""
        if self._closing.interruption is not None:
            self._runners.hurry(self._spec.run)
        interruption = Interruption("killed", reason)
        self._work.interrupt(interruption)
        self._closing.interrupt(interruption)

    async def run(self, worked: Callable[[], None] = lambda: None) -> RunRecord:
        """Does it all and returns the terminal record, which is durable by then.

        Its beginning is durable before the first step begins, each end before anything that follows from it. Its
        ``started_at`` is at first when the worker came to it, and in the end when its first step began: its program, or
        the worker's vain attempt at it.
        ``worked`` is called when nothing of it works any more, before its end is written.
        """
        decided = self._clock.now()
        started = self._record(decided)
        self._shared.ledger.add(started)
        try:
            result = await self._within_limit()
            note = await self._close(result)
        finally:
            self._runners.forget(self._spec.run)
        worked()
        start = self._start(decided)
        self._begun(0, start)
        reason = " ".join(filter(None, [result.reason, note]))
        ended = structs.replace(
            started,
            state=result.state,
            reason=_joined(self._spec.reason, self._shared.secrets.text(reason)),
            started_at=start,
            finished_at=self._clock.now(),
        )
        await self._shared.ledger.commit(ended)
        return ended

    def _begun(self, index: int, at: datetime) -> None:
        """The first group has the lowest indices; what comes after it is no beginning of the run."""
        if not self._has_begun and self._groups and index < len(self._groups[0]):
            self._has_begun = True
            self._on_begun(at)

    def _start(self, decided: datetime) -> datetime:
        """When the first of its steps began; when it was decided, if none of them came to that."""
        first = self._groups[0] if self._groups else []
        records = filter(None, (self._context.steps.get(planned.index) for planned in first))
        return min(filter(None, (record.started_at for record in records)), default=decided)

    async def _within_limit(self) -> Result:
        limit = self._document.timeout
        timer = asyncio.create_task(self._expire(limit)) if limit > 0 else None
        try:
            await self._run_groups()
        finally:
            if timer is not None:
                timer.cancel()
        left = []
        if self._work.interruption is not None:
            left = await self._runners.sweep(self._spec.run)
        self._context.result = self._result(left)
        return self._context.result

    async def _expire(self, limit: float) -> None:
        await self._clock.sleep(limit)
        self._work.interrupt(Interruption("timed_out", f"The run took longer than its limit of {limit:g} s."))

    async def _run_groups(self) -> None:
        for group in self._groups:
            if self._work.interruption is not None or self._failure() is not None:
                self._skip(group, self._why_skipped())
            elif len(group) == 1:
                # Its end is written together with what follows at once: the next beginning, or the end of the run.
                self._shared.ledger.add(await self._run_step(group[0], self._work))
            else:
                async with asyncio.TaskGroup() as side_by_side:
                    for planned in group:
                        side_by_side.create_task(self._run_and_commit(planned))

    async def _run_and_commit(self, planned: PlannedStep) -> None:
        await self._shared.ledger.commit(await self._run_step(planned, self._work))

    async def _run_step(self, planned: PlannedStep, work: Interruptible) -> StepRecord:
        output = StepOutput(
            self._spec.run,
            planned.index,
            deliver=self._sink.output,
            flusher=self._runners.flusher,
            secrets=self._shared.secrets,
            cap=self._output_cap,
        )
        record = await StepRun(planned, self._shared, output, work).run()
        self._context.steps[planned.index] = record
        return record

    def _why_skipped(self) -> str:
        failure = self._failure()
        if failure is None:
            return "The run was ended before it."
        return f"{_capital(failure[0].title)} did not succeed."

    def _skip(self, group: list[PlannedStep], reason: str) -> None:
        for planned in group:
            record = planned.record(self._spec.run, "skipped", reason)
            self._context.steps[planned.index] = record
            self._shared.ledger.add(record)

    def _failure(self) -> tuple[PlannedStep, StepRecord] | None:
        """The first strong step that did not succeed."""
        for group in self._groups:
            for planned in group:
                record = self._context.steps.get(planned.index)
                if record is None or planned.document.dependence == "weak":
                    continue
                if record.state not in ("succeeded", "skipped"):
                    return planned, record
        return None

    def _result(self, left: list[int]) -> Result:
        interruption = self._work.interruption
        cut_short = any(record.state in ("skipped", "killed", "timed_out") for record in self._context.steps.values())
        failure = self._failure()
        name = failure[0].document.task.name if failure else ""
        if interruption is not None and cut_short:
            unkilled = f"Processes {left} could not be ended." if left else ""
            return Result(interruption.state, _joined(interruption.reason, unkilled), name)
        if failure is None:
            return Result("succeeded")
        planned, record = failure
        state: RunState = "timed_out" if record.state == "timed_out" else "failed"
        return Result(state, f"{_capital(planned.title)} {state.replace('_', ' ')}: {record.reason}", name)

    async def _close(self, result: Result) -> str:
        """Does the success or failure task; a sentence if that went wrong."""
        if result.state == "killed":
            return ""
        planned = closing_step(self._document, result.state == "succeeded")
        if planned is None:
            return ""
        record = await self._run_step(planned, self._closing)
        self._shared.ledger.add(record)
        if self._closing.interruption is not None:
            await self._runners.sweep(self._spec.run)
        if record.state == "succeeded":
            return ""
        return f"{_capital(planned.title)} {record.state.replace('_', ' ')}: {record.reason}"

    def _record(self, started_at: datetime) -> RunRecord:
        return RunRecord(
            run=self._spec.run,
            pipeline=self._document.pipeline,
            pipeline_name=self._document.name,
            state="running",
            trigger=self._spec.trigger,
            scheduled_at=self._spec.scheduled_at,
            generation=self._document.generation,
            attempt=self._spec.attempt,
            reason=self._spec.reason,
            started_at=started_at,
            shared=self._spec.fence is not None,
        )


def _joined(first: str, second: str) -> str:
    return "; ".join(filter(None, [first, second]))


def _capital(sentence: str) -> str:
    return sentence[:1].upper() + sentence[1:]
