"""Keeps a few child processes going: started in order, restarted when they end, stopped in reverse order.

Every child is started through ``setpriv --pdeathsig``: when this process dies, however it dies, the kernel sends the
children SIGTERM (prctl(2), ``PR_SET_PDEATHSIG``; it survives exec), so that none is left behind.
"""

import asyncio
import contextlib
import logging
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import IO

log = logging.getLogger(__name__)

FIRST_PAUSE = 0.3
"""Seconds before a child that ended is started again; doubled each time up to ``LONGEST_PAUSE``."""

LONGEST_PAUSE = 10.0

STEADY = 20.0
"""A child that lived so many seconds is started again after the shortest pause."""

GRACE = 25.0
"""Seconds from SIGTERM to SIGKILL."""


@dataclass(eq=False)
class Child:
    """One process to keep. ``environment`` is the whole of it; ``descriptors`` are open files that it inherits."""

    name: str
    command: Sequence[str]
    environment: Mapping[str, str]
    descriptors: Sequence[int] = ()
    process: subprocess.Popen[bytes] | None = None
    ended: asyncio.Event = field(default_factory=asyncio.Event)
    pause: float = FIRST_PAUSE
    began: float = 0.0
    keeper: asyncio.Task[None] | None = None


class Supervisor:
    """Use inside one event loop: ``start`` each child, ``wait``, then ``stop``."""

    def __init__(self, show: Callable[[str], None] = print, grace: float = GRACE) -> None:
        self._show = show
        self._grace = grace
        self._children: list[Child] = []
        self._stopping = asyncio.Event()

    def handle_signals(self) -> None:
        """SIGTERM and SIGINT end ``wait``; a second one kills the children at once."""
        loop = asyncio.get_running_loop()
        for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
            loop.add_signal_handler(number, self.request_stop)

    def request_stop(self) -> None:
        """Ends ``wait``; asked again, kills the children."""
        if self._stopping.is_set():
            for child in self._children:
                _signal(child, signal.SIGKILL)
        self._stopping.set()

    async def start(
        self, name: str, command: Sequence[str], environment: Mapping[str, str], descriptors: Sequence[int] = ()
    ) -> None:
        """Starts a child and keeps it going from now on. Raises OSError when it cannot be started."""
        child = Child(name, command, environment, descriptors)
        self._spawn(child)
        self._children.append(child)
        child.keeper = asyncio.create_task(self._keep(child))

    async def wait(self) -> None:
        """Until a stop is requested."""
        await self._stopping.wait()

    @property
    def stopping(self) -> bool:
        """Whether a stop was requested."""
        return self._stopping.is_set()

    async def stop(self) -> None:
        """The youngest child first; each gets SIGTERM, the grace, then SIGKILL."""
        self._stopping.set()
        for child in reversed(self._children):
            _signal(child, signal.SIGTERM)
            try:
                await asyncio.wait_for(child.ended.wait(), self._grace)
            except TimeoutError:
                log.warning("%s does not stop; killing it", child.name)
                _signal(child, signal.SIGKILL)
                await child.ended.wait()
            if child.keeper is not None:
                await child.keeper

    def _spawn(self, child: Child) -> None:
        child.process = subprocess.Popen(
            ["setpriv", "--pdeathsig", "TERM", "--", *child.command],
            env=dict(child.environment),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            pass_fds=child.descriptors,
            # Ctrl-C goes to the supervisor alone, which stops the children in order.
            start_new_session=True,
        )
        child.began = time.monotonic()
        child.ended.clear()
        self._watch(child, child.process.pid)
        threading.Thread(target=self._pass_on, args=(child.name, child.process.stdout), daemon=True).start()

    def _watch(self, child: Child, pid: int) -> None:
        """Not asyncio's own waiting, which ends only when nobody holds the child's output any more."""
        loop = asyncio.get_running_loop()
        descriptor = os.pidfd_open(pid)

        def ended() -> None:
            loop.remove_reader(descriptor)
            os.close(descriptor)
            child.ended.set()

        loop.add_reader(descriptor, ended)

    async def _keep(self, child: Child) -> None:
        while True:
            await child.ended.wait()
            assert child.process is not None
            status = child.process.wait()
            _end_group(child.process.pid)
            if self._stopping.is_set():
                return
            if time.monotonic() - child.began > STEADY:
                child.pause = FIRST_PAUSE
            log.warning("%s ended with status %s; starting it again in %.1f s", child.name, status, child.pause)
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self._stopping.wait(), child.pause)
            if self._stopping.is_set():
                return
            child.pause = min(child.pause * 2, LONGEST_PAUSE)
            try:
                self._spawn(child)
            except OSError:
                log.exception("%s cannot be started", child.name)

    def _pass_on(self, name: str, output: IO[bytes]) -> None:
        """Each line of a child with its name before it; an endless line comes in pieces."""
        while line := output.readline(1 << 16):
            # When nobody reads us any more, the children's output is read all the same, else they would block.
            with contextlib.suppress(OSError, ValueError):
                self._show(f"{name:>6} | {line.decode(errors='replace').rstrip()}")
        output.close()


def _signal(child: Child, number: signal.Signals) -> None:
    if child.process is not None:
        child.process.send_signal(number)


def _end_group(leader: int) -> None:
    """Ends what a child left behind in its process group: workers of a killed web server would hold its port."""
    with contextlib.suppress(ProcessLookupError, PermissionError):
        os.killpg(leader, signal.SIGKILL)


def python(*arguments: str) -> list[str]:
    """The command of another Python of this installation."""
    return [sys.executable, *arguments]
