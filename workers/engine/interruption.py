"""Work that can be ended from outside: by a person, by a time limit, by the end of the worker."""

import asyncio
from collections.abc import Coroutine
from dataclasses import dataclass
from typing import Any, Literal, TypeVar

from workers.engine.clock import Clock

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Interruption:
    """Why work was ended; the state that it ends in."""

    state: Literal["killed", "timed_out"]
    reason: str


@dataclass(frozen=True, slots=True)
class Limit:
    """The time that work has (0 seconds: any), counted from ``since`` on, and what is said when it took longer."""

    seconds: float
    since: asyncio.Event
    reason: str


class Interrupted(Exception):
    """The work was ended, and nothing of it is left."""

    def __init__(self, interruption: Interruption) -> None:
        super().__init__(interruption.reason)
        self.interruption = interruption


class Interruptible:
    """The pieces of work of one run. The first ``interrupt`` counts; no work begins after it."""

    def __init__(self, clock: Clock) -> None:
        self.interruption: Interruption | None = None
        self._clock = clock
        self._ended_by: dict[asyncio.Task[Any], Interruption | None] = {}

    def interrupt(self, interruption: Interruption) -> None:
        """Ends everything that is going on."""
        if self.interruption is None:
            self.interruption = interruption
            for task in list(self._ended_by):
                self._end(task, interruption)

    async def run(self, work: Coroutine[Any, Any, T], limit: Limit | None = None) -> T:
        """The result of ``work``. Raises Interrupted after ``interrupt``, or when its limit is over; in both cases
        ``work`` has been cancelled and has ended."""
        if self.interruption is not None:
            work.close()
            raise Interrupted(self.interruption)
        task = asyncio.create_task(work)
        self._ended_by[task] = None
        timer = asyncio.create_task(self._expire(task, limit)) if limit and limit.seconds > 0 else None
        try:
            return await task
        except asyncio.CancelledError:
            cause = self._ended_by[task]
            current = asyncio.current_task()
            if cause is None or (current is not None and current.cancelling()):
                raise
            raise Interrupted(cause) from None
        finally:
            del self._ended_by[task]
            if timer is not None:
                timer.cancel()

    async def _expire(self, task: asyncio.Task[T], limit: Limit) -> None:
        await limit.since.wait()
        await self._clock.sleep(limit.seconds)
        self._end(task, Interruption("timed_out", limit.reason))

    def _end(self, task: asyncio.Task[Any], interruption: Interruption) -> None:
        if task in self._ended_by and self._ended_by[task] is None:
            self._ended_by[task] = interruption
            task.cancel()
