"""Waiting for many descriptors at once, by an epoll of its own (epoll(7)).

On a busy worker each turn of the event loop would bring the end of one program or a line of another, and a turn costs
more than such an event. While many descriptors are watched, what happens within a moment is therefore gathered, and
worked off in one turn.
"""

import asyncio
import select
from collections.abc import Callable

CALM = 32
"""So few descriptors, and every event is worked off at once."""

LINGER = 0.003
"""Seconds for which events are gathered otherwise."""


class Watch:
    """Calls back when descriptors can be read. For one event loop."""

    def __init__(self) -> None:
        self._loop = asyncio.get_running_loop()
        self._epoll = select.epoll()
        self._calls: dict[int, Callable[[], None]] = {}
        self._lingering: asyncio.TimerHandle | None = None
        self._loop.add_reader(self._epoll.fileno(), self._on_ready)

    def add(self, descriptor: int, call: Callable[[], None]) -> None:
        """``call`` as long as the descriptor can be read, until it is removed."""
        self._epoll.register(descriptor, select.EPOLLIN)
        self._calls[descriptor] = call

    def remove(self, descriptor: int) -> None:
        """Not any more; nothing if it is not watched. Before it is closed: a child may still hold it for a moment."""
        if self._calls.pop(descriptor, None) is not None:
            self._epoll.unregister(descriptor)

    def close(self) -> None:
        """Frees the descriptor. Nothing may be watched any more."""
        if self._lingering is not None:
            self._lingering.cancel()
        else:
            self._loop.remove_reader(self._epoll.fileno())
        self._epoll.close()

    def _on_ready(self) -> None:
        if len(self._calls) <= CALM:
            self._work_off()
            return
        self._loop.remove_reader(self._epoll.fileno())
        self._lingering = self._loop.call_later(LINGER, self._after_lingering)

    def _after_lingering(self) -> None:
        self._lingering = None
        self._loop.add_reader(self._epoll.fileno(), self._on_ready)
        self._work_off()

    def _work_off(self) -> None:
        for descriptor, _ in self._epoll.poll(0):
            # One that came before it may have removed it.
            if call := self._calls.get(descriptor):
                call()
