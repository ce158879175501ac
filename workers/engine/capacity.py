"""The places for runs on this node: so many at once, the others wait in the order in which they came."""

import asyncio
from collections import deque

DEFAULT_CAPACITY = 256
"""Runs at once on a node that has no setting of its own."""


class Capacity:
    """A first-come, first-served gate. For one event loop."""

    def __init__(self, limit: int = DEFAULT_CAPACITY) -> None:
        self.limit = limit
        self._running = 0
        self._waiters: deque[asyncio.Future[None]] = deque()

    @property
    def running(self) -> int:
        """Places in use."""
        return self._running

    @property
    def waiting(self) -> int:
        """How many wait for a place."""
        return sum(not waiter.done() for waiter in self._waiters)

    @property
    def full(self) -> bool:
        """Whoever asks now has to wait. (Nobody waits while a place is free: it is handed over.)"""
        return self._running >= self.limit

    def waiting_reason(self) -> str:
        """The sentence for the record of a run that has to wait."""
        return f"waiting for a free place ({self._running} of {self.limit} in use)"

    def try_acquire(self) -> bool:
        """Takes a place if one is free."""
        if self.full:
            return False
        self._running += 1
        return True

    async def acquire(self) -> None:
        """Takes a place, after everybody who asked before."""
        if self.try_acquire():
            return
        waiter: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._waiters.append(waiter)
        try:
            await waiter
        except asyncio.CancelledError:
            if waiter.done() and not waiter.cancelled():
                self.release()
            raise

    def release(self) -> None:
        """Gives a place back; the one who has waited longest gets it."""
        while self._waiters:
            waiter = self._waiters.popleft()
            if not waiter.done():
                # The place is handed over as it is: the count does not change, so nobody can slip in between.
                waiter.set_result(None)
                return
        self._running -= 1


class Place:
    """A place that was taken. It is given back once, however often that is asked for."""

    def __init__(self, capacity: Capacity) -> None:
        self._capacity: Capacity | None = capacity

    def release(self) -> None:
        """Gives it back."""
        capacity, self._capacity = self._capacity, None
        if capacity is not None:
            capacity.release()
