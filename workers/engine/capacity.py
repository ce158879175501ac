"""The places for runs on this node: so many at once, the others wait in the order in which they came."""

from collections.abc import Callable

DEFAULT_CAPACITY = 256
"""Runs at once on a node that has no setting of its own."""

Begin = Callable[[], None]


class Capacity:
    """A first-come, first-served gate. For one event loop."""

    def __init__(self, limit: int = DEFAULT_CAPACITY) -> None:
        self.limit = limit
        self._running = 0
        self._waiting: dict[Begin, None] = {}

    @property
    def running(self) -> int:
        """Places in use."""
        return self._running

    @property
    def waiting(self) -> int:
        """How many wait for a place."""
        return len(self._waiting)

    def waiting_reason(self) -> str:
        """The sentence for the record of a run that has to wait."""
        return f"waiting for a free place ({self._running} of {self.limit} in use)"

    def enter(self, begin: Begin) -> bool:
        """Calls ``begin`` once a place is taken for it: now (True), or after everybody who asked before (False)."""
        if self._running >= self.limit:
            self._waiting[begin] = None
            return False
        self._running += 1
        begin()
        return True

    def withdraw(self, begin: Begin) -> bool:
        """This one waits no more. False when it did not wait, or has its place already."""
        waited = begin in self._waiting
        self._waiting.pop(begin, None)
        return waited

    def release(self) -> None:
        """Gives a place back; the one who has waited longest gets it."""
        if not self._waiting:
            self._running -= 1
            return
        # The place is handed over as it is: the count does not change, so nobody can slip in between.
        begin = next(iter(self._waiting))
        del self._waiting[begin]
        begin()


class Place:
    """A place that was taken. It is given back once, however often that is asked for."""

    def __init__(self, capacity: Capacity) -> None:
        self._capacity: Capacity | None = capacity

    def release(self) -> None:
        """Gives it back."""
        capacity, self._capacity = self._capacity, None
        if capacity is not None:
            capacity.release()
