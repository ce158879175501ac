"""The guard: a small process that ends a worker's jobs when the worker dies, and a run's at its deadline.

It reads orders from its standard input, one a line: ``+ RUN DEADLINE`` (seconds of CLOCK_BOOTTIME, 0 for none) and
``- RUN``. The end of its input is the end of the worker, however it came: whatever is registered then is killed.
It runs in a Python without site-packages, and imports nothing that is large.
"""

import math
import os
import select
import signal
import time

from workers.engine.processes import kill_runs

_BATCH = 0.2
"""Seconds for which orders may gather: the worker's starts must not wake two processes each."""

_LONGEST_WAIT = 1.0
"""Seconds between looks at the clock while there is a deadline: a wait does not count the time of a suspended machine,
CLOCK_BOOTTIME does."""

_PIECE = 1 << 16


class Watch:
    """The runs that are to be ended, and the orders that change them."""

    def __init__(self) -> None:
        self.deadlines: dict[str, float] = {}
        self._rest = b""

    def take(self, data: bytes) -> None:
        """Applies the orders in a piece of input, of which the last may be incomplete."""
        *lines, self._rest = (self._rest + data).split(b"\n")
        for line in lines:
            words = line.decode("ascii").split()
            if words[0] == "+":
                self.deadlines[words[1]] = float(words[2])
            else:
                self.deadlines.pop(words[1], None)

    def has_deadlines(self) -> bool:
        """Whether the clock matters."""
        return any(self.deadlines.values())

    def next_deadline(self) -> float:
        """Seconds of CLOCK_BOOTTIME; infinite when there is none."""
        return min((deadline for deadline in self.deadlines.values() if deadline), default=float("inf"))

    def pop_due(self, now: float) -> list[str]:
        """The runs whose deadline has come; they are no longer watched."""
        due = [run for run, deadline in self.deadlines.items() if 0 < deadline <= now]
        for run in due:
            del self.deadlines[run]
        return due


def guard(descriptor: int) -> None:
    """Follows the orders until the worker is gone, then kills what is registered."""
    watch = Watch()
    ended = select.poll()
    ended.register(descriptor, 0)
    orders = select.poll()
    orders.register(descriptor, select.POLLIN)
    while True:
        orders.poll(_milliseconds(watch, _LONGEST_WAIT) if watch.has_deadlines() else None)
        # Without asking for input, only the end of the worker ends this wait early.
        ended.poll(_milliseconds(watch, _BATCH))
        alive = _take_all(descriptor, watch)
        gone = watch.pop_due(time.clock_gettime(time.CLOCK_BOOTTIME)) if alive else list(watch.deadlines)
        if gone:
            kill_runs(gone, time.sleep)
        if not alive:
            return


def main() -> None:
    """The whole program. Only the end of its input ends it in peace: signals to the worker's group are not meant."""
    for signum in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(signum, signal.SIG_IGN)
    os.set_blocking(0, False)
    guard(0)


def _milliseconds(watch: Watch, longest: float) -> int:
    left = watch.next_deadline() - time.clock_gettime(time.CLOCK_BOOTTIME)
    return math.ceil(min(max(left, 0), longest) * 1000)


def _take_all(descriptor: int, watch: Watch) -> bool:
    """False at the end of the input."""
    while True:
        try:
            data = os.read(descriptor, _PIECE)
        except BlockingIOError:
            return True
        if not data:
            return False
        watch.take(data)
