"""The clock that the engine is handed. Nothing in the engine reads time by any other way."""

import asyncio
import time
from datetime import UTC, datetime
from typing import Protocol


class Clock(Protocol):
    """What the engine asks of time."""

    def now(self) -> datetime:
        """The wall clock, aware UTC. It may be stepped in either direction."""
        ...

    def monotonic(self) -> float:
        """Seconds that never go back; for durations and local deadlines."""
        ...

    def boottime(self) -> float:
        """Seconds of CLOCK_BOOTTIME, which also counts while the machine is suspended; for rights that expire."""
        ...

    async def sleep(self, seconds: float) -> None:
        """Waits that long on the monotonic clock; 0 or less lets the others go on once."""
        ...


class SystemClock:
    """The machine's clocks."""

    def now(self) -> datetime:
        """The wall clock, aware UTC."""
        return datetime.now(UTC)

    def monotonic(self) -> float:
        """Seconds of CLOCK_MONOTONIC."""
        return time.monotonic()

    def boottime(self) -> float:
        """Seconds of CLOCK_BOOTTIME."""
        return time.clock_gettime(time.CLOCK_BOOTTIME)

    async def sleep(self, seconds: float) -> None:
        """Waits on the running loop."""
        await asyncio.sleep(seconds)
