"""What is loaded when it is first needed, and nowhere else in the engine by name.

Most workers run shell steps and reach their console directly. They need neither httpx (4 MB with what it brings, and a
sixth of a worker's start) nor the packages for mail: 3 MB together. A static import would make every worker pay.
"""

import asyncio
from collections.abc import Callable
from importlib import import_module
from typing import Any, Literal

from workers.engine.clock import Clock
from workers.engine.output import StepOutput
from workers.engine.runners.base import NETWORK_TIMEOUT, Job, Outcome, Runner

Part = Literal["workers.engine.proxied", "workers.engine.runners.http", "workers.engine.runners.mail"]


def load(part: Part) -> Any:
    """The module. It may take a tenth of a second, for the first time."""
    return import_module(part)


class Deferred:
    """A runner for network tasks that is made for the first of them, of the module ``part`` by ``make``. Their work
    begins when there is one."""

    default_timeout = NETWORK_TIMEOUT

    def __init__(self, part: Part, make: Callable[[Any], Runner], clock: Clock) -> None:
        self._made: Runner | None = None
        self._part = part
        self._make = make
        self._clock = clock

    async def run(self, job: Job, output: StepOutput) -> Outcome:
        """As the runner does it."""
        if self._made is None:
            # In a thread: what fires meanwhile must not be late for it.
            module = await asyncio.to_thread(load, self._part)
            self._made = self._made or self._make(module)
        job.begun(self._clock.now())
        return await self._made.run(job, output)
