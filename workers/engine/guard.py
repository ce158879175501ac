"""The worker's side of its guard: starts it, tells it what runs, starts it again when it is gone."""

import asyncio
import fcntl
import logging
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

from workers.engine.clock import Clock

log = logging.getLogger(__name__)

PIPE_SIZE = 1 << 20
"""Bytes of orders that may wait for the guard; it takes them five times a second."""

_ATOMIC = 4096
_SHORT_LIFE = 1.0
_LAST_WAIT = 10.0
"""Seconds for the guard to kill what is still registered at the end."""

_ROOT = Path(__file__).resolve().parents[2]
_PROGRAM = (
    "import sys; sys.path.insert(0, sys.argv[1]); from workers.engine.guard_process import main; main()  # ECTS guard"
)


class Guard:
    """Keeps one guard process alive and up to date. Use: ``start``, supervise ``watch``, ``close`` at the end.

    ``close`` while runs are registered kills those, as the death of the worker does.
    """

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._runs: dict[str, float] = {}
        self._uses: dict[str, int] = {}
        self._process: subprocess.Popen[bytes] | None = None
        self._orders = -1
        self._lines: list[str] = []
        self._pidfd = -1
        self._ended = asyncio.Event()
        self._began = 0.0
        self._closing = False

    @property
    def pid(self) -> int:
        """Of the guard process; 0 when there is none."""
        return self._process.pid if self._process else 0

    def start(self) -> None:
        """Starts the process and tells it every run there is. Raises OSError when that cannot be done."""
        reader, self._orders = os.pipe2(os.O_CLOEXEC)
        try:
            fcntl.fcntl(self._orders, fcntl.F_SETPIPE_SZ, PIPE_SIZE)
            os.set_blocking(self._orders, False)
            command = [sys.executable, "-I", "-S", "-c", _PROGRAM, str(_ROOT)]
            # A session of its own: Ctrl-C in the worker's terminal is not for the guard. No environment: it must not
            # carry the marks of a run, nor anything secret.
            self._process = subprocess.Popen(command, stdin=reader, env={}, cwd="/", start_new_session=True)
        finally:
            os.close(reader)
        self._began = self._clock.monotonic()
        self._ended.clear()
        self._pidfd = os.pidfd_open(self._process.pid)
        asyncio.get_running_loop().add_reader(self._pidfd, self._on_end)
        self._lines = [f"+ {run} {deadline}\n" for run, deadline in self._runs.items()]
        self.flush()

    async def watch(self) -> None:
        """Starts the guard again whenever it has ended, until ``close``."""
        while True:
            await self._ended.wait()
            if self._closing:
                return
            log.error("the guard process ended; starting another")
            short_life = self._clock.monotonic() - self._began < _SHORT_LIFE
            self._free()
            if short_life:
                await self._clock.sleep(_SHORT_LIFE)
            if self._closing:
                return
            self.start()

    def register(self, run: str, deadline: float = 0) -> None:
        """This run dies with the worker, and at ``deadline`` (seconds of CLOCK_BOOTTIME, 0 for none).

        Call it, and ``flush``, before the run's first process exists. Counts: as many ``release`` end it.
        """
        self._uses[run] = self._uses.get(run, 0) + 1
        if self._uses[run] == 1 or deadline:
            self._runs[run] = deadline
            self._tell(f"+ {run} {deadline}\n")

    def extend(self, run: str, deadline: float) -> None:
        """A registered run has a new deadline, earlier or later."""
        if run in self._uses:
            self._runs[run] = deadline
            self._tell(f"+ {run} {deadline}\n")
            self.flush()

    def release(self, run: str) -> None:
        """What ``register`` began. What such a run has left running on purpose may live on."""
        self._uses[run] -= 1
        if self._uses[run] == 0:
            del self._uses[run], self._runs[run]
            self._tell(f"- {run}\n")

    async def close(self) -> None:
        """Lets the guard go and waits for its end."""
        self._closing = True
        if self._process is None:
            return
        self.flush()
        os.close(self._orders)
        self._orders = -1
        try:
            async with asyncio.timeout(_LAST_WAIT):
                await self._ended.wait()
        except TimeoutError:
            log.error("the guard process does not end; killing it")
            self._process.kill()
            await self._ended.wait()
        self._free()

    def flush(self) -> None:
        """The guard has been told all that it was to be told so far."""
        lines, self._lines = self._lines, []
        if self._orders < 0:
            return
        try:
            for batch in _batches(iter(lines)):
                os.write(self._orders, batch.encode("ascii"))
        except BlockingIOError:
            # It has not taken anything for long: stopped, or hung. The next one is told everything.
            log.error("the guard process takes no orders; ending it")
            if self._process is not None:
                self._process.kill()
        except BrokenPipeError:
            # It has just died; the next one is told everything.
            return

    def _tell(self, line: str) -> None:
        """With the next flush, at the latest after this turn of the loop."""
        self._lines.append(line)
        if len(self._lines) == 1:
            asyncio.get_running_loop().call_soon(self.flush)

    def _on_end(self) -> None:
        asyncio.get_running_loop().remove_reader(self._pidfd)
        self._ended.set()

    def _free(self) -> None:
        if self._process is not None:
            self._process.wait()
            self._process = None
            os.close(self._pidfd)
        if self._orders >= 0:
            os.close(self._orders)
            self._orders = -1


def _batches(lines: Iterator[str]) -> Iterator[str]:
    """Lines put together up to what a pipe takes whole or not at all (pipe(7), PIPE_BUF)."""
    batch = ""
    for line in lines:
        if len(batch) + len(line) > _ATOMIC:
            yield batch
            batch = ""
        batch += line
    if batch:
        yield batch
