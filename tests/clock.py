"""A clock that stands still until a test moves it."""

import asyncio
import heapq
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from itertools import count


class FakeClock:
    """Implements ``workers.engine.clock.Clock``; all its times move together, by ``advance``."""

    def __init__(self, start: datetime = datetime(2026, 1, 1, tzinfo=UTC)) -> None:
        self._start = start
        self._elapsed = 0.0
        self._tickets = count()
        self._sleepers: list[tuple[float, int, asyncio.Future[None]]] = []

    def now(self) -> datetime:
        """The instant it shows."""
        return self._start + timedelta(seconds=self._elapsed)

    def monotonic(self) -> float:
        """Seconds advanced so far, plus a thousand (so that nothing relies on zero)."""
        return 1000.0 + self._elapsed

    def boottime(self) -> float:
        """Seconds advanced so far, plus five thousand."""
        return 5000.0 + self._elapsed

    def step(self, seconds: float) -> None:
        """Sets the wall clock only, as an administrator or NTP does."""
        self._start += timedelta(seconds=seconds)

    @property
    def sleeping(self) -> int:
        """How many wait for the clock to move."""
        return sum(not future.done() for _, _, future in self._sleepers)

    async def sleep(self, seconds: float) -> None:
        """Waits until the test has advanced the clock that far."""
        if seconds <= 0:
            await asyncio.sleep(0)
            return
        future: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        heapq.heappush(self._sleepers, (self._elapsed + seconds, next(self._tickets), future))
        await future

    async def advance(self, seconds: float) -> None:
        """Moves the clock and lets everything due on the way run, in order."""
        target = self._elapsed + seconds
        await settle()
        while self._sleepers and self._sleepers[0][0] <= target:
            instant, _, future = heapq.heappop(self._sleepers)
            self._elapsed = max(self._elapsed, instant)
            if not future.done():
                future.set_result(None)
            await settle()
        self._elapsed = target
        await settle()

    async def until_sleeping(self, number: int = 1) -> None:
        """Returns once that many wait for the clock; use it before ``advance``."""
        await until(lambda: self.sleeping >= number)


async def settle(turns: int = 20) -> None:
    """Lets every task that can go on without time passing do so."""
    for _ in range(turns):
        await asyncio.sleep(0)


async def until(condition: Callable[[], bool], deadline: float = 60.0) -> None:
    """Returns as soon as ``condition`` holds; fails the test after ``deadline`` real seconds."""
    async with asyncio.timeout(deadline):
        while not condition():
            await asyncio.sleep(0.005)
