"""Background tasks that nobody forgets: a failure is logged, counted as an incident, and the task begun again."""

import asyncio
import logging
from collections.abc import Awaitable, Callable

from workers.engine.clock import Clock

log = logging.getLogger(__name__)

FIRST_PAUSE = 0.2
"""Seconds before a task that failed is begun again; doubled each time up to ``LONGEST_PAUSE``."""

LONGEST_PAUSE = 10.0

STEADY = 60.0
"""A task that ran so many seconds begins again with the shortest pause."""


class Supervisor:
    """Runs coroutines that should never end, until ``stop``."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._tasks: dict[str, asyncio.Task[None]] = {}
        self._failures: dict[str, str] = {}

    def start(self, name: str, work: Callable[[], Awaitable[None]]) -> None:
        """Begins ``work`` and begins it anew whenever it fails or ends."""
        self._tasks[name] = asyncio.create_task(self._keep(name, work), name=name)

    def incidents(self) -> tuple[str, ...]:
        """What is failing now, a sentence each."""
        return tuple(f"{name} fails: {error}" for name, error in self._failures.items())

    async def stop(self, *names: str) -> None:
        """Cancels these tasks, or all of them, and waits for their end."""
        tasks = [self._tasks.pop(name) for name in (names or tuple(self._tasks)) if name in self._tasks]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    async def _keep(self, name: str, work: Callable[[], Awaitable[None]]) -> None:
        pause = FIRST_PAUSE
        while True:
            began = self._clock.monotonic()
            try:
                await work()
                log.warning("%s ended; beginning it again", name)
            except Exception as error:
                log.exception("%s failed; beginning it again in %.1f s", name, pause)
                self._failures[name] = str(error) or type(error).__name__
            if self._clock.monotonic() - began > STEADY:
                pause = FIRST_PAUSE
            await self._clock.sleep(pause)
            pause = min(pause * 2, LONGEST_PAUSE)
