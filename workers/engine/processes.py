"""The processes of runs, found in /proc by the ``ECTS_RUN_ID`` in their environment, and their end (proc(5)).

Neither setsid nor a double fork takes a process out of its run: the environment is inherited. Used by the worker and
by its guard; the guard must stay small, so that this imports nothing that is large.
"""

import os
import signal
from collections.abc import Callable, Collection, Iterator

_ENVIRON_PIECE = 1 << 16
_RUN = b"ECTS_RUN_ID="
_STEP = b"ECTS_STEP="
_KERNEL_THREADS = 2
_CLEAN_LOOKS = 2
_MOST_LOOKS = 200

PAUSE = 0.02
"""Seconds between two looks of a hunt."""


class Process:
    """A living process (no zombie) as it was at one look. ``started`` is in clock ticks since boot."""

    __slots__ = ("group", "parent", "pid", "run", "session", "started", "step")

    def __init__(self, pid: int, parent: int, group: int, session: int, started: int, run: str, step: str) -> None:
        self.pid = pid
        self.parent = parent
        self.group = group
        self.session = session
        self.started = started
        self.run = run
        self.step = step


def snapshot() -> list[Process]:
    """Every living process that we may look at, ourselves excepted. Takes about 10 microseconds for each."""
    own = os.getpid()
    return [process for pid in _pids() if pid != own and (process := _look_at(pid)) is not None]


class Tree:
    """The processes that ``belongs`` knows and everything below them, over several looks.

    Who was in it once stays in it: a process that has thrown away its environment and lost its parent between two
    looks could not be found again otherwise.
    """

    def __init__(self, belongs: Callable[[Process], bool]) -> None:
        self._belongs = belongs
        self._known: set[tuple[int, int]] = set()

    def living(self, processes: list[Process]) -> list[Process]:
        """Its members at this look."""
        seeds = [
            process for process in processes if self._belongs(process) or (process.pid, process.started) in self._known
        ]
        members = _with_offspring(processes, seeds)
        self._known = {(process.pid, process.started) for process in members}
        return members


def run_tree(runs: Collection[str]) -> Tree:
    """The processes of these runs."""
    return Tree(lambda process: process.run in runs)


def step_tree(run: str, step: int, root: int) -> Tree:
    """The processes of one step of a run, among them those in the session of ``root``, its main process."""
    name = str(step)
    return Tree(lambda process: (process.run == run and process.step == name) or root in (process.pid, process.session))


def ask_to_end(processes: Collection[Process]) -> None:
    """SIGTERM to each; a stopped one is woken to take it."""
    for process in processes:
        _send(process, signal.SIGTERM)
        _send(process, signal.SIGCONT)


class Hunt:
    """Kills a tree, look after look, until two looks in a row find nothing.

    One clean look is not enough: between fork and exec a process has no environment to be known by. ``killed`` are
    the pids it has met, ``left`` those that the last look still found.
    """

    def __init__(self, tree: Tree) -> None:
        self.killed: set[int] = set()
        self.left: list[int] = []
        self._tree = tree
        self._clean = 0
        self._looks = 0

    def strike(self, processes: list[Process]) -> bool:
        """One look; True when the hunt is over. Let ``PAUSE`` seconds pass before the next."""
        targets = self._tree.living(processes)
        self.left = [process.pid for process in targets]
        self.killed.update(self.left)
        self._looks += 1
        self._clean = 0 if targets else self._clean + 1
        _kill(targets)
        return self._clean >= _CLEAN_LOOKS or self._looks >= _MOST_LOOKS


def kill_runs(runs: Collection[str], pause: Callable[[float], None]) -> Hunt:
    """Ends every process of these runs at once, with SIGKILL; ``pause`` waits that many seconds. Blocks."""
    hunt = Hunt(run_tree(frozenset(runs)))
    while not hunt.strike(snapshot()):
        pause(PAUSE)
    return hunt


def _kill(targets: list[Process]) -> None:
    pids = {process.pid for process in targets}
    # A group dies in one step of the kernel, forks in progress included; one by one, a fork bomb outruns us.
    for group in {process.group for process in targets} & pids:
        _quietly(os.killpg, group, signal.SIGKILL)
    for process in targets:
        _send(process, signal.SIGKILL)


def _send(process: Process, signum: int) -> None:
    """Signals exactly this process: a pid that was given to another one since is left alone."""
    try:
        descriptor = os.pidfd_open(process.pid)
    except OSError:
        return
    try:
        now = _stat(process.pid)
        if now is not None and now[3] == process.started:
            _quietly(signal.pidfd_send_signal, descriptor, signum)
    finally:
        os.close(descriptor)


def _quietly(call: Callable[[int, int], None], target: int, signum: int) -> None:
    try:
        call(target, signum)
    except OSError:
        # Gone already, or another user's (a setuid program): a later look tells the two apart.
        return


def _with_offspring(processes: list[Process], seeds: list[Process]) -> list[Process]:
    if not seeds:
        return []
    children: dict[int, list[Process]] = {}
    for process in processes:
        children.setdefault(process.parent, []).append(process)
    found = {process.pid: process for process in seeds}
    fresh = list(seeds)
    while fresh:
        below = [child for process in fresh for child in children.get(process.pid, ())]
        fresh = [child for child in below if child.pid not in found]
        found.update((child.pid, child) for child in fresh)
    return list(found.values())


def _pids() -> Iterator[int]:
    return (int(name) for name in os.listdir("/proc") if name.isdecimal())


def _look_at(pid: int) -> Process | None:
    stat = _stat(pid)
    if stat is None or _KERNEL_THREADS in (pid, stat[0]):
        return None
    run, step = _marks(_read(f"/proc/{pid}/environ"))
    parent, group, session, started = stat
    return Process(pid, parent, group, session, started, run, step)


def _stat(pid: int) -> tuple[int, int, int, int] | None:
    """Parent, group, session and start of a living process."""
    content = _read(f"/proc/{pid}/stat")
    # The name in parentheses may itself hold spaces and parentheses.
    fields = content[content.rfind(b")") + 2 :].split()
    if len(fields) < 20 or fields[0] in (b"Z", b"X"):
        return None
    return int(fields[1]), int(fields[2]), int(fields[3]), int(fields[19])


def _marks(environ: bytes) -> tuple[str, str]:
    if _RUN not in environ:
        return "", ""
    run = step = b""
    for entry in environ.split(b"\0"):
        if entry.startswith(_RUN):
            run = entry[len(_RUN) :]
        elif entry.startswith(_STEP):
            step = entry[len(_STEP) :]
    return run.decode("ascii", "replace"), step.decode("ascii", "replace")


def _read(path: str) -> bytes:
    try:
        descriptor = os.open(path, os.O_RDONLY)
    except OSError:
        return b""
    content = b""
    try:
        while piece := os.read(descriptor, _ENVIRON_PIECE):
            content += piece
    except OSError:
        return b""
    finally:
        os.close(descriptor)
    return content
