"""Starting programs fast: ``subprocess.Popen`` on its vfork path, exit by pidfd, output by a pipe on the loop.

asyncio's own subprocess does half to four fifths of this rate. ``preexec_fn``, ``user=`` and ``group=`` would take the
fork path, which costs 14 ms a start in a process of 300 MB; nothing here may use them.
"""

import asyncio
import os
import subprocess
from collections import deque
from collections.abc import Mapping, Sequence

from workers.engine.output import PIECE, StepOutput

STARTS_A_TICK = 16
"""Starts in one turn of the event loop: each blocks it for about half a millisecond."""

DRAIN = 0.25
"""Seconds in which children that outlive the main process may still write; then the pipe is closed."""

SCRIPT = "\0script\0"
"""Stands for the path of the script in a command; no real argument can hold a NUL."""


class Program:
    """A started program: the main process of a step, leader of its own session."""

    def __init__(self, popen: subprocess.Popen[bytes], pipe: int, output: StepOutput) -> None:
        self.pid = popen.pid
        self._popen = popen
        self._loop = asyncio.get_running_loop()
        self._pidfd = os.pidfd_open(popen.pid)
        self._exited: asyncio.Future[None] = self._loop.create_future()
        self._pipe = _Pipe(pipe, output)
        self._loop.add_reader(self._pidfd, self._on_exit)

    async def wait(self) -> int:
        """Returns the exit code (negative: the signal) once the main process has ended and its output is in.

        The main process stays a zombie until ``close``, so that its pid cannot become another's meanwhile.
        """
        await self._exited
        await self._pipe.drain()
        return _exit_code(self.pid)

    async def close(self) -> None:
        """Takes the last of the output, frees the descriptors and reaps the main process, which must have ended."""
        self._loop.remove_reader(self._pidfd)
        os.close(self._pidfd)
        await self._pipe.close()
        self._popen.poll()

    def _on_exit(self) -> None:
        self._loop.remove_reader(self._pidfd)
        if not self._exited.done():
            self._exited.set_result(None)


class Spawner:
    """Starts programs in the order in which they are asked for, at most ``STARTS_A_TICK`` in a turn of the loop."""

    def __init__(self) -> None:
        self._null = os.open(os.devnull, os.O_RDONLY)
        self._started = 0
        self._waiting: deque[asyncio.Future[None]] = deque()

    async def start(
        self,
        command: Sequence[str],
        *,
        script: bytes,
        directory: str,
        environment: Mapping[str, str],
        output: StepOutput,
    ) -> Program:
        """Starts ``command``; ``SCRIPT`` in it becomes a path under which the program can read ``script``.

        The script is handed over in memory: it may hold secrets, and a command line is for everybody to see. Raises
        OSError when the program cannot be started, ValueError when an argument or variable cannot be passed.
        """
        await self._turn()
        script_file = os.memfd_create("step", os.MFD_CLOEXEC)
        reader, writer = os.pipe2(os.O_CLOEXEC)
        try:
            _write_all(script_file, script)
            argv = [f"/proc/self/fd/{script_file}" if part == SCRIPT else part for part in command]
            return _followed(self._popen(argv, script_file, writer, directory, environment), reader, output)
        except BaseException:
            os.close(reader)
            raise
        finally:
            os.close(script_file)
            os.close(writer)

    def close(self) -> None:
        """Frees the descriptor."""
        os.close(self._null)

    def _popen(
        self, argv: list[str], script_file: int, writer: int, directory: str, environment: Mapping[str, str]
    ) -> subprocess.Popen[bytes]:
        return subprocess.Popen(
            argv,
            stdin=self._null,
            stdout=writer,
            stderr=writer,
            cwd=directory,
            env=environment,
            start_new_session=True,
            pass_fds=(script_file,),
        )

    async def _turn(self) -> None:
        """Waits for this caller's turn to start one."""
        if self._started >= STARTS_A_TICK or self._waiting:
            turn: asyncio.Future[None] = asyncio.get_running_loop().create_future()
            self._waiting.append(turn)
            await turn
            return
        if self._started == 0:
            asyncio.get_running_loop().call_soon(self._next_tick)
        self._started += 1

    def _next_tick(self) -> None:
        self._started = 0
        while self._waiting and self._started < STARTS_A_TICK:
            turn = self._waiting.popleft()
            if not turn.done():
                turn.set_result(None)
                self._started += 1
        if self._started:
            asyncio.get_running_loop().call_soon(self._next_tick)


class _Pipe:
    """The reading end of a program's output. Reads no faster than the output is handed on."""

    def __init__(self, descriptor: int, output: StepOutput) -> None:
        os.set_blocking(descriptor, False)
        self._descriptor = descriptor
        self._output = output
        self._loop = asyncio.get_running_loop()
        self._ended = asyncio.Event()
        self._flushing: asyncio.Task[None] | None = None
        self._loop.add_reader(descriptor, self._on_readable)

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
        self._loop.remove_reader(self._descriptor)
        if self._flushing is not None:
            await self._flushing
            self._loop.remove_reader(self._descriptor)
        # One read takes a whole pipe. More could only come from a child that never stops writing.
        if data := self._read():
            self._output.write(data)
        os.close(self._descriptor)

    def _on_readable(self) -> None:
        if self._flushing is not None or self._ended.is_set():
            return
        data = self._read()
        if data == b"":
            self._loop.remove_reader(self._descriptor)
            self._ended.set()
        elif data:
            self._output.write(data)
            if self._output.full:
                self._loop.remove_reader(self._descriptor)
                self._flushing = self._loop.create_task(self._flush())

    async def _flush(self) -> None:
        try:
            await self._output.flush()
        finally:
            self._flushing = None
            self._loop.add_reader(self._descriptor, self._on_readable)

    def _read(self) -> bytes | None:
        """None when there is nothing now, empty at the end."""
        try:
            return os.read(self._descriptor, PIECE)
        except BlockingIOError:
            return None


def _followed(popen: subprocess.Popen[bytes], pipe: int, output: StepOutput) -> Program:
    try:
        return Program(popen, pipe, output)
    except OSError:
        # No descriptor left to follow it by: it must not run unwatched.
        popen.kill()
        popen.wait()
        raise


def _write_all(descriptor: int, data: bytes) -> None:
    view = memoryview(data)
    while view:
        view = view[os.write(descriptor, view) :]


def _exit_code(pid: int) -> int:
    """Of a zombie, which stays one."""
    info = os.waitid(os.P_PID, pid, os.WEXITED | os.WNOWAIT)
    assert info is not None
    return info.si_status if info.si_code == os.CLD_EXITED else -info.si_status
