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


_ONCE = select.EPOLLIN | select.EPOLLONESHOT


class Watch:
    """Calls back once when a descriptor can be read, and then each time it is asked for ``again``. For one event loop.

    One-shot, since a call to the kernel for each removal would be a tenth of what the end of a program costs; and a
    descriptor that a child still holds for a moment must not wake whoever gets its number next.
    """

    def __init__(self) -> None:
        self._loop = asyncio.get_running_loop()
        self._epoll = select.epoll()
        self._calls: dict[int, Callable[[], None]] = {}
        self._armed: set[int] = set()
        self._lingering: asyncio.TimerHandle | None = None
        self._loop.add_reader(self._epoll.fileno(), self._on_ready)

    def add(self, descriptor: int, call: Callable[[], None]) -> None:
        """``call`` when the descriptor can be read."""
        self._epoll.register(descriptor, _ONCE)
        self._calls[descriptor] = call
        self._armed.add(descriptor)

    def again(self, descriptor: int) -> None:
        """Once more, for one that was added."""
        if descriptor not in self._armed:
            self._epoll.modify(descriptor, _ONCE)
            self._armed.add(descriptor)

    def remove(self, descriptor: int) -> None:
        """Not any more; nothing if it is not watched. Before it is closed."""
        self._calls.pop(descriptor, None)
        if descriptor in self._armed:
            self._armed.remove(descriptor)
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
            self._armed.discard(descriptor)
            # One that came before it may have removed it.
            if call := self._calls.get(descriptor):
                call()
