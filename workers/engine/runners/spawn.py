"""Starting programs fast: posix_spawn(3) on threads of its own, exit by pidfd, output by a pipe on the loop.

asyncio's own subprocess does half to four fifths of the rate of ``subprocess.Popen``, and that blocks the event loop
for each start: see ``posix``. ``preexec_fn``, ``user=`` and ``group=`` would take the fork path, which costs 14 ms a
start in a process of 300 MB; nothing here may use them.
"""

import asyncio
import os
import queue
import signal
import threading
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from datetime import datetime

from workers.engine.output import PIECE, StepOutput
from workers.engine.runners import posix
from workers.engine.runners.watching import Watch

THREADS = 2
"""Starts at the same time. Each waits for the kernel; on two cores a third one gains nothing."""

AT_ONCE = 16
"""Starts that are prepared, so that no thread has to wait for the event loop. Each holds three descriptors."""

TOGETHER = 4
"""Starts that the event loop is told of together, while there are more to be done."""

DRAIN = 0.25
"""Seconds in which children that outlive the main process may still write; then the pipe is closed."""

SCRIPT = "\0script\0"
"""Stands for the path of the script in a command; no real argument can hold a NUL."""


class Program:
    """A started program: the main process of a step, leader of its own session. ``started_at`` is the last instant
    (aware UTC) before it was there."""

    def __init__(self, pid: int, started_at: datetime, pipe: int, output: StepOutput, watch: Watch) -> None:
        self.pid = pid
        self.started_at = started_at
        self._watch = watch
        self._pidfd = os.pidfd_open(pid)
        self._exited: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._pipe = _Pipe(pipe, output, watch)
        watch.add(self._pidfd, self._on_exit)

    async def wait(self) -> int:
        """Returns the exit code (negative: the signal) once the main process has ended and its output is in.

        The main process stays a zombie until ``close``, so that its pid cannot become another's meanwhile.
        """
        await self._exited
        await self._pipe.drain()
        return _exit_code(self.pid)

    async def close(self) -> None:
        """Takes the last of the output, frees the descriptors and reaps the main process, which must have ended."""
        self._watch.remove(self._pidfd)
        os.close(self._pidfd)
        await self._pipe.close()
        _reap(self.pid)

    def _on_exit(self) -> None:
        self._watch.remove(self._pidfd)
        if not self._exited.done():
            self._exited.set_result(None)


class _Starting:
    """A start on its way through a thread. ``at`` is when the thread came to it."""

    at: datetime

    def __init__(self, order: posix.Order, now: Callable[[], datetime]) -> None:
        self._order = order
        self._now = now
        self._pid: int | OSError = 0
        self.ended: asyncio.Future[int] = asyncio.get_running_loop().create_future()

    def work(self) -> None:
        """The thread's part."""
        self.at = self._now()
        try:
            self._pid = self._order.spawn()
        except OSError as error:
            self._pid = error

    def tell(self) -> None:
        """The event loop's part, afterwards."""
        if isinstance(self._pid, OSError):
            self.ended.set_exception(self._pid)
        else:
            self.ended.set_result(self._pid)


class Spawner:
    """Starts programs in the order in which they are asked for, on ``THREADS`` threads. For one event loop.

    ``now`` is the wall clock, ``before`` is called before each start.
    """

    def __init__(self, now: Callable[[], datetime], before: Callable[[], None] = lambda: None) -> None:
        self._now = now
        self._before = before
        posix.keep_to_ourselves()
        self._null = os.open(os.devnull, os.O_RDONLY)
        self._watch: Watch | None = None
        self._places = asyncio.Semaphore(AT_ONCE)
        self._todo: queue.SimpleQueue[_Starting | None] = queue.SimpleQueue()
        self._done: deque[_Starting] = deque()
        self._told = False
        self._threads: list[threading.Thread] = []

    async def start(
        self,
        command: Sequence[str],
        *,
        directory: str,
        environment: Mapping[str, str],
        output: StepOutput,
        script: bytes = b"",
    ) -> Program:
        """Starts ``command``; ``SCRIPT`` in it becomes a path under which the program can read ``script``.

        The script is handed over in memory: it may hold secrets, and a command line is for everybody to see. Raises
        OSError when the program cannot be started, ValueError when an argument or variable cannot be passed. Cancelled
        while it starts: the program is returned, and the cancellation comes with the next thing that is awaited.
        """
        async with self._places:
            memory = os.memfd_create("step", os.MFD_CLOEXEC) if SCRIPT in command else None
            reader, writer = os.pipe2(os.O_CLOEXEC)
            try:
                if memory is not None:
                    _write_all(memory, script)
                order = posix.Order(
                    [f"/proc/self/fd/{memory}" if part == SCRIPT else part for part in command],
                    directory=directory,
                    environment=environment,
                    standard=(self._null, writer, writer),
                    kept=memory,
                )
                self._watch = self._watch or Watch()
                pid, started_at = await self._spawned(order)
                return _followed(pid, started_at, reader, output, self._watch)
            except BaseException:
                os.close(reader)
                raise
            finally:
                os.close(writer)
                if memory is not None:
                    os.close(memory)

    def close(self) -> None:
        """Ends the threads and frees the descriptor. Nothing may be starting."""
        for _ in self._threads:
            self._todo.put(None)
        for thread in self._threads:
            thread.join()
        if self._watch is not None:
            self._watch.close()
        os.close(self._null)

    async def _spawned(self, order: posix.Order) -> tuple[int, datetime]:
        """The pid, and the instant just before it was there.

        What has begun to start cannot be taken back: a cancellation waits for it.
        """
        starting = _Starting(order, self._now)
        self._before()
        self._hand_over(starting)
        cancelled = False
        while not starting.ended.done():
            try:
                await asyncio.shield(starting.ended)
            except asyncio.CancelledError:
                cancelled = True
        current = asyncio.current_task()
        if cancelled and current is not None:
            current.cancel()
        return starting.ended.result(), starting.at

    def _hand_over(self, starting: _Starting) -> None:
        if not self._threads:
            loop = asyncio.get_running_loop()
            self._threads = [
                threading.Thread(target=self._serve, args=(loop,), name="spawn", daemon=True) for _ in range(THREADS)
            ]
            for thread in self._threads:
                thread.start()
        self._todo.put(starting)

    def _serve(self, loop: asyncio.AbstractEventLoop) -> None:
        while (starting := self._todo.get()) is not None:
            starting.work()
            self._done.append(starting)
            if not self._told and (len(self._done) >= TOGETHER or self._todo.empty()):
                # Once for all that are done by the time the loop comes to it.
                self._told = True
                loop.call_soon_threadsafe(self._tell)

    def _tell(self) -> None:
        self._told = False
        while self._done:
            self._done.popleft().tell()


class _Pipe:
    """The reading end of a program's output. Reads no faster than the output is handed on."""

    def __init__(self, descriptor: int, output: StepOutput, watch: Watch) -> None:
        os.set_blocking(descriptor, False)
        self._descriptor = descriptor
        self._output = output
        self._watch = watch
        self._ended = asyncio.Event()
        self._flushing: asyncio.Task[None] | None = None
        self._closing = False
        watch.add(descriptor, self._on_readable)

    async def drain(self) -> None:
        """Waits for the end of the pipe. A child that keeps it open gets only a moment."""
        self._on_readable()
        if self._ended.is_set():
            return
        try:
            async with asyncio.timeout(DRAIN):
                await self._ended.wait()
        except TimeoutError:
            return

    async def close(self) -> None:
        """Takes what has been written and closes; a program that still writes gets SIGPIPE."""
        self._closing = True
        self._watch.remove(self._descriptor)
        if self._flushing is not None:
            await self._flushing
        # One read takes a whole pipe. More could only come from a child that never stops writing.
        if data := self._read():
            self._output.write(data)
        os.close(self._descriptor)

    def _on_readable(self) -> None:
        if self._flushing is not None or self._ended.is_set():
            return
        data = self._read()
        if data == b"":
            self._watch.remove(self._descriptor)
            self._ended.set()
            return
        if data:
            self._output.write(data)
        if self._output.full:
            self._flushing = asyncio.create_task(self._flush())
        else:
            self._watch.again(self._descriptor)

    async def _flush(self) -> None:
        try:
            await self._output.flush()
        finally:
            self._flushing = None
            if not self._closing:
                self._watch.again(self._descriptor)

    def _read(self) -> bytes | None:
        """None when there is nothing now, empty at the end."""
        try:
            return os.read(self._descriptor, PIECE)
        except BlockingIOError:
            return None


def _followed(pid: int, started_at: datetime, pipe: int, output: StepOutput, watch: Watch) -> Program:
    try:
        return Program(pid, started_at, pipe, output, watch)
    except OSError:
        # No descriptor left to follow it by: it must not run unwatched.
        os.kill(pid, signal.SIGKILL)
        os.waitpid(pid, 0)
        raise


def _reap(pid: int) -> None:
    with suppress(ChildProcessError):
        os.waitpid(pid, os.WNOHANG)


def _write_all(descriptor: int, data: bytes) -> None:
    view = memoryview(data)
    while view:
        view = view[os.write(descriptor, view) :]


def _exit_code(pid: int) -> int:
    """Of a zombie, which stays one."""
    info = os.waitid(os.P_PID, pid, os.WEXITED | os.WNOWAIT)
    assert info is not None
    return info.si_status if info.si_code == os.CLD_EXITED else -info.si_status
