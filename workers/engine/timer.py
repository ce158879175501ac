"""A timer on the wall clock that sees the clock being set (timerfd_create(2), ``TFD_TIMER_CANCEL_ON_SET``).

A loop's own ``call_later`` runs on the monotonic clock: it fires early or late when the wall clock is stepped, and
does not notice a suspended machine.
"""

import asyncio
import contextlib
import ctypes
import os
from datetime import datetime

_CLOCK_REALTIME = 0
_TFD_NONBLOCK = os.O_NONBLOCK
_TFD_CLOEXEC = os.O_CLOEXEC
_TFD_TIMER_ABSTIME = 1
_TFD_TIMER_CANCEL_ON_SET = 2
_FAR = 1 << 33
"""Seconds: armed so far away when there is nothing to wait for, so that a clock step still wakes us."""


class _Timespec(ctypes.Structure):
    _fields_ = (("seconds", ctypes.c_long), ("nanoseconds", ctypes.c_long))


class _Itimerspec(ctypes.Structure):
    _fields_ = (("interval", _Timespec), ("value", _Timespec))


# Python has os.timerfd_create only from 3.13 on; one way for all versions is less to go wrong.
_libc = ctypes.CDLL(None, use_errno=True)


class WallTimer:
    """Waits for instants of the wall clock on the running loop. One waiter at a time."""

    def __init__(self) -> None:
        self._fd: int = _libc.timerfd_create(_CLOCK_REALTIME, _TFD_NONBLOCK | _TFD_CLOEXEC)
        if self._fd < 0:
            raise OSError(ctypes.get_errno(), "timerfd_create failed")
        self._armed: datetime | None = None
        self._is_armed = False
        self._wake = asyncio.Event()
        asyncio.get_running_loop().add_reader(self._fd, self._readable)

    async def wait_until(self, instant: datetime | None) -> None:
        """Returns when ``instant`` has come, when the clock was set, or when ``nudge`` was called. None: only those."""
        self._arm(instant)
        await self._wake.wait()
        self._wake.clear()

    def nudge(self) -> None:
        """Ends the present wait, or the next one."""
        self._wake.set()

    def close(self) -> None:
        """Frees the descriptor."""
        asyncio.get_running_loop().remove_reader(self._fd)
        os.close(self._fd)

    def _arm(self, instant: datetime | None) -> None:
        if self._is_armed and instant == self._armed:
            return
        seconds, nanoseconds = (_FAR, 0) if instant is None else _split(instant)
        spec = _Itimerspec(_Timespec(0, 0), _Timespec(seconds, nanoseconds))
        flags = _TFD_TIMER_ABSTIME | _TFD_TIMER_CANCEL_ON_SET
        if _libc.timerfd_settime(self._fd, flags, ctypes.byref(spec), None) < 0:
            raise OSError(ctypes.get_errno(), "timerfd_settime failed")
        self._armed, self._is_armed = instant, True

    def _readable(self) -> None:
        # ECANCELED: the clock was set. Either way there is something to look at.
        with contextlib.suppress(OSError):
            os.read(self._fd, 8)
        self._is_armed = False
        self._wake.set()


def _split(instant: datetime) -> tuple[int, int]:
    seconds = max(int(instant.timestamp() // 1), 0)
    nanoseconds = instant.microsecond * 1000
    return (seconds, nanoseconds) if seconds or nanoseconds else (0, 1)
