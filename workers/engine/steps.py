"""One step of a run: its tries, its time, its output, its record."""

import asyncio
import logging
import signal
from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Literal

from msgspec import structs

from coordination.documents import PipelineDocument, StepDocument
from coordination.records import StepRecord, StepState, Try
from workers.engine.clock import Clock
from workers.engine.context import RunContext
from workers.engine.fence import LATE, OVER, TOO_LATE
from workers.engine.interruption import Interrupted, Interruptible, Interruption, Limit
from workers.engine.ledger import Ledger
from workers.engine.masking import Secrets
from workers.engine.output import StepOutput
from workers.engine.repetition import NOT_REPEATED, may_repeat
from workers.engine.runners.base import Job, Outcome, Runner, RunnerSet
from workers.engine.runners.limits import Limits
from workers.engine.templates import TemplateError, Templates

log = logging.getLogger(__name__)

Role = Literal["step", "on_success", "on_failure"]

TRIES_TOLD = 20
"""Tries of which the record tells, the last ones; it has to stay small."""

REASON_OF_TRY = 200
"""Characters."""


@dataclass(frozen=True, slots=True)
class PlannedStep:
    """A step in its place: ``index`` counts from 0 in the order of positions, the closing task comes last."""

    index: int
    document: StepDocument
    role: Role = "step"

    @property
    def title(self) -> str:
        """How sentences name it."""
        if self.role == "step":
            return f'step {self.index + 1} "{self.document.task.name}"'
        return f'the {self.role.removeprefix("on_")} task "{self.document.task.name}"'

    def record(self, run: str, state: StepState, reason: str = "") -> StepRecord:
        """Its record before anything of it has happened."""
        task = self.document.task
        return StepRecord(
            run=run,
            index=self.index,
            position=self.document.position,
            task=task.id,
            task_name=task.name,
            kind=task.kind,
            state=state,
            role=self.role,
            reason=reason,
        )


@dataclass(frozen=True, slots=True)
class Surroundings:
    """What the steps of one run share. ``begun`` is told the index of a step whose first try begins, and when."""

    context: RunContext
    opened: dict[str, str]
    secrets: Secrets
    templates: Templates
    ledger: Ledger
    clock: Clock
    runners: RunnerSet
    begun: Callable[[int, datetime], None]


class StepRun:
    """Does one step. The record it ends with is not written yet: the caller decides together with what.

    ``started_at`` is at first when the worker came to the step, which is on disk before anything of it begins; the
    record that it ends with has the instant at which its work did begin.
    """

    def __init__(self, planned: PlannedStep, shared: Surroundings, output: StepOutput, work: Interruptible) -> None:
        self._planned = planned
        self._step = planned.document
        self._shared = shared
        self._output = output
        self._work = work
        self._record = planned.record(shared.context.spec.run, "running")

    async def run(self) -> StepRecord:
        """The ended step. Its beginning is durable before the first try begins."""
        now = self._shared.clock.now()
        self._record = structs.replace(self._record, started_at=now, attempts=1)
        self._began = Try(started_at=now)
        await self._shared.ledger.commit(self._record)
        try:
            outcome = await self._tries()
            state: StepState = outcome.state
            self._shared.context.outputs.update(outcome.outputs)
        except Interrupted as interrupted:
            state = interrupted.interruption.state
            outcome = Outcome(state="failed", reason=interrupted.interruption.reason)
        await self._output.close()
        return structs.replace(
            self._record,
            state=state,
            exit_code=outcome.exit_code,
            http_status=outcome.http_status,
            reason=self._shared.secrets.text(outcome.reason),
            finished_at=self._shared.clock.now(),
            output_bytes=self._output.total,
            output_dropped=self._output.dropped,
        )

    async def _tries(self) -> Outcome:
        runner = self._shared.runners.of(self._step.task.kind)
        try:
            job = self._job()
        except TemplateError as error:
            return Outcome(state="failed", reason=str(error))
        while True:
            last = self._record.attempts > self._step.retries
            try:
                outcome = await self._try(runner, job)
                if last or outcome.state == "succeeded":
                    return outcome
                if outcome.is_uncertain and not may_repeat(job.task):
                    return replace(outcome, reason=f"{outcome.reason} {NOT_REPEATED}")
                reason = outcome.reason
            except Interrupted as interrupted:
                if last or self._work.interruption is not None:
                    raise
                if not may_repeat(job.task):
                    cause = interrupted.interruption
                    raise Interrupted(replace(cause, reason=f"{cause.reason} {NOT_REPEATED}")) from None
                reason = interrupted.interruption.reason
            await self._again(reason)

    async def _again(self, reason: str) -> None:
        """Waits, and begins the next try; the record tells what became of those before."""
        clock = self._shared.clock
        told = self._shared.secrets.text(reason)[:REASON_OF_TRY]
        ended = structs.replace(self._began, finished_at=clock.now(), reason=told)
        await self._work.run(clock.sleep(self._step.interval))
        self._began = Try(started_at=clock.now())
        tries = (*self._record.tries[:-1], ended, self._began)[-TRIES_TOLD:]
        self._record = structs.replace(self._record, attempts=self._record.attempts + 1, tries=tries)
        await self._shared.ledger.commit(self._record)

    async def _try(self, runner: Runner, job: Job) -> Outcome:
        seconds = self._step.timeout or runner.default_timeout
        self._mind_fence()
        self._beginning = asyncio.Event()
        limit = Limit(seconds, self._beginning, f"It took longer than its limit of {seconds:g} s.")
        outcome = await self._work.run(self._safely(runner, job), limit)
        if outcome.exit_code == -signal.SIGKILL:
            # By the guard: this worker stood still when it should have ended it.
            self._mind_fence()
        elif outcome.exit_code == -TOO_LATE and self._shared.context.spec.fence is not None:
            # The right may have been renewed since its start.
            self._mind_fence()
            self._work.interrupt(Interruption("killed", LATE))
        else:
            return outcome
        if self._work.interruption is not None:
            raise Interrupted(self._work.interruption)
        return outcome

    def _begun(self, at: datetime) -> None:
        self._beginning.set()
        self._began = structs.replace(self._began, started_at=at)
        if self._record.tries:
            self._record = structs.replace(self._record, tries=(*self._record.tries[:-1], self._began))
        if self._record.attempts == 1:
            self._record = structs.replace(self._record, started_at=at)
            self._shared.begun(self._planned.index, at)

    def _mind_fence(self) -> None:
        fence = self._shared.context.spec.fence
        if fence is not None and fence.is_over(self._shared.clock.boottime()):
            self._work.interrupt(Interruption("killed", OVER))

    async def _safely(self, runner: Runner, job: Job) -> Outcome:
        try:
            return await runner.run(job, self._output)
        except Exception as error:
            # A fault of ours must end this step, not leave its run going for ever.
            log.exception("%s broke", self._planned.title)
            return Outcome(
                state="failed", reason=f"The worker failed at it ({type(error).__name__}): see the worker's log."
            )

    def _job(self) -> Job:
        shared = self._shared
        index = self._planned.index
        own = shared.templates.mapping(self._step.environment)
        return Job(
            context=shared.context,
            index=index,
            task=shared.templates.task(self._step.task),
            environment=shared.context.environment(index, own),
            directory=self._step.directory,
            user=self._step.user,
            group=self._step.group,
            limits=Limits.of(self._step),
            secrets=shared.opened,
            begun=self._begun,
        )


def planned_steps(document: PipelineDocument) -> list[list[PlannedStep]]:
    """The steps in the order of their positions; those that share one are together."""
    groups: dict[int, list[PlannedStep]] = {}
    for index, step in enumerate(sorted(document.steps, key=lambda step: step.position)):
        groups.setdefault(step.position, []).append(PlannedStep(index, step))
    return list(groups.values())


def closing_step(document: PipelineDocument, succeeded: bool) -> PlannedStep | None:
    """The success or failure task, in the place after the last step."""
    task = document.on_success if succeeded else document.on_failure
    if task is None:
        return None
    position = max((step.position for step in document.steps), default=0) + 1
    step = StepDocument(task=task, position=position, timeout=document.timeout)
    return PlannedStep(len(document.steps), step, "on_success" if succeeded else "on_failure")
