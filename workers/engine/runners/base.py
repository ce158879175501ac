"""What every kind of task has in common: a job goes in, its output flows out, an outcome comes back."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Literal, Protocol

from coordination.documents import TaskDocument
from workers.engine.context import RunContext
from workers.engine.output import Flusher, StepOutput
from workers.engine.runners.limits import NONE, Limits

NETWORK_TIMEOUT = 60.0
"""Seconds for a step without a limit of its own whose task is done over the network."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Job:
    """One try of one step, every text filled in. ``index`` is the step's, ``environment`` lacks only the user's base.

    ``secrets`` are those of the document, opened. ``begun`` is to be told the instant (aware UTC) at which the work
    itself begins, after all that had to be waited for or prepared.
    """

    context: RunContext
    index: int
    task: TaskDocument
    environment: Mapping[str, str] = field(default_factory=dict)
    directory: str = ""
    user: str = ""
    group: str = ""
    limits: Limits = NONE
    secrets: Mapping[str, str] = field(default_factory=dict)
    begun: Callable[[datetime], None]

    @property
    def run(self) -> str:
        """The run's uuid."""
        return self.context.spec.run


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    """How a try ended. ``reason`` is a sentence for people; ``outputs`` are the values for later steps;
    ``is_uncertain``: it failed, and what it asked for may have been done all the same."""

    state: Literal["succeeded", "failed"]
    reason: str = ""
    exit_code: int | None = None
    http_status: int | None = None
    outputs: Mapping[str, str] = field(default_factory=dict)
    is_uncertain: bool = False


def failed(reason: str, *, http_status: int | None = None, is_uncertain: bool = False) -> Outcome:
    """A failed try, with the sentence that says why."""
    return Outcome(state="failed", reason=reason, http_status=http_status, is_uncertain=is_uncertain)


class Runner(Protocol):
    """Does the tasks of one kind. ``default_timeout`` is in seconds for a step without one; 0 is none."""

    default_timeout: float

    async def run(self, job: Job, output: StepOutput) -> Outcome:
        """Does one try.

        When it is cancelled, nothing of the try is left by the time CancelledError comes out of it. What goes wrong
        in the try is an outcome, not an exception.
        """
        ...


class RunnerSet(Protocol):
    """All the kinds. ``flusher`` serves the output of every step."""

    flusher: Flusher

    def of(self, kind: str) -> Runner:
        """The runner for this kind of task."""
        ...

    async def sweep(self, run: str) -> list[int]:
        """Ends every process that is left of a run; returns the pids of those that would not die."""
        ...

    def hurry(self, run: str) -> None:
        """The grace that this run's processes have to end is over now."""
        ...

    def forget(self, run: str) -> None:
        """This run is over."""
        ...
