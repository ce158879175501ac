"""Whether a process hears from etcd, and for how long it did and did not: over all that it follows."""

from collections.abc import Callable


class Connectivity:
    """``clock`` gives monotonic seconds. Connected: everything that was named so far is."""

    def __init__(self, clock: Callable[[], float]) -> None:
        self._clock = clock
        self._states: dict[str, bool] = {}
        self._begun: set[str] = set()
        self._seconds = {True: 0.0, False: 0.0}
        self._since = clock()
        self.restarts = 0
        """How often something was followed anew, after the first time."""

    @property
    def is_connected(self) -> bool:
        """Now."""
        return all(self._states.values())

    def seconds(self) -> tuple[float, float]:
        """Connected and disconnected so far."""
        self._pass()
        return self._seconds[True], self._seconds[False]

    def expect(self, what: str) -> None:
        """This is to be followed, and is not yet."""
        self.changed(what, False)

    def changed(self, what: str, connected: bool) -> None:
        """It begins to be followed, again or for the first time, or cannot be any more."""
        self._pass()
        self._states[what] = connected
        if connected and what in self._begun:
            self.restarts += 1
        if connected:
            self._begun.add(what)

    def _pass(self) -> None:
        now = self._clock()
        self._seconds[self.is_connected] += now - self._since
        self._since = now
