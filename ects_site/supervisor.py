"""Keeps a few child processes going: started in order, restarted when they end, stopped in reverse order.

Every child is started through ``setpriv --pdeathsig``: when this process dies, however it dies, the kernel tells the
children (prctl(2), ``PR_SET_PDEATHSIG``), so that none is left behind.
"""

import asyncio
import contextlib
import logging
import os
import signal
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

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
    """One process to keep. ``environment`` is the whole of it."""

    name: str
    command: Sequence[str]
    environment: Mapping[str, str]
    process: asyncio.subprocess.Process | None = None
    pause: float = FIRST_PAUSE
    began: float = 0.0
    tasks: list[asyncio.Task[None]] = field(default_factory=list)


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

    async def start(self, name: str, command: Sequence[str], environment: Mapping[str, str]) -> None:
        """Starts a child and keeps it going from now on. Raises OSError when it cannot be started."""
        child = Child(name, command, environment)
        await self._spawn(child)
        self._children.append(child)
        child.tasks.append(asyncio.create_task(self._keep(child)))

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
            if child.process is not None:
                try:
                    await asyncio.wait_for(child.process.wait(), self._grace)
                except TimeoutError:
                    log.warning("%s does not stop; killing it", child.name)
                    _signal(child, signal.SIGKILL)
                    await child.process.wait()
            await asyncio.wait(child.tasks, timeout=1)
            for task in child.tasks:
                task.cancel()
            await asyncio.gather(*child.tasks, return_exceptions=True)

    async def _spawn(self, child: Child) -> None:
        child.process = await asyncio.create_subprocess_exec(
            *("setpriv", "--pdeathsig", "TERM", "--", *child.command),
            env=dict(child.environment),
            stdin=asyncio.subprocess.DEVNULL,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.STDOUT,
            # Ctrl-C goes to the supervisor alone, which stops the children in order.
            start_new_session=True,
        )
        child.began = time.monotonic()
        child.tasks = [task for task in child.tasks if not task.done()]
        child.tasks.append(asyncio.create_task(self._pass_on(child.name, child.process)))

    async def _keep(self, child: Child) -> None:
        while True:
            assert child.process is not None
            status = await child.process.wait()
            if self._stopping.is_set():
                return
            if time.monotonic() - child.began > STEADY:
                child.pause = FIRST_PAUSE
            log.warning("%s ended with status %s; starting it again in %.1f s", child.name, status, child.pause)
            await asyncio.sleep(child.pause)
            child.pause = min(child.pause * 2, LONGEST_PAUSE)
            if self._stopping.is_set():
                return
            try:
                await self._spawn(child)
            except OSError:
                log.exception("%s cannot be started", child.name)

    async def _pass_on(self, name: str, process: asyncio.subprocess.Process) -> None:
        """Each line of a child with its name before it; an endless line comes in pieces."""
        assert process.stdout is not None
        while True:
            try:
                line = await process.stdout.readline()
            except ValueError:
                line = await process.stdout.read(1 << 16)
            if not line:
                return
            self._show(f"{name:>6} | {line.decode(errors='replace').rstrip()}")


def _signal(child: Child, number: signal.Signals) -> None:
    if child.process is not None and child.process.returncode is None:
        with contextlib.suppress(ProcessLookupError):
            # Not send_signal(): that may reap the child under asyncio's hands, which then does not know its status.
            os.kill(child.process.pid, number)


def python(*arguments: str) -> list[str]:
    """The command of another Python of this installation."""
    return [sys.executable, *arguments]
