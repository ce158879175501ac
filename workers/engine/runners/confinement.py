"""Holds a step to its limits: small programs that go before its own, after which nothing of them is left.

``preexec_fn`` would take the slow path of a fork; util-linux's prlimit(1), coreutils' nice(1) and a shell's umask each
end in an exec. A step without limits has none of them before it.
"""

import os
import shutil
import signal

from workers.engine.runners.accounts import Refusal
from workers.engine.runners.cgroups import Group, Groups
from workers.engine.runners.limits import NONE, Limits, amount

SIGNALLED = 128
"""A shell reports a child that was ended by a signal with this much more than its number."""

CPU_GRACE = 5
"""Seconds of processor time between SIGXCPU and SIGKILL."""


class Confinement:
    """How one try is confined: ``outer`` goes before the change of user, ``inner`` after it. ``close`` ends it."""

    def __init__(self, limits: Limits, group: Group | None, outer: tuple[str, ...], inner: tuple[str, ...]) -> None:
        self._limits = limits
        self._group = group
        self.outer = outer
        self.inner = inner

    def why_ended(self, code: int) -> str:
        """Which limit has ended a program with this exit code (negative: the signal); empty when none did."""
        if self._group is not None and self._group.ran_out_of_memory():
            return f"The kernel ended it: it used more than its {amount(self._limits.memory)} of memory."
        number = -code if code < 0 else code - SIGNALLED
        if self._limits.cpu_seconds and number == signal.SIGXCPU:
            return f"The kernel ended it: it used more than its {self._limits.cpu_seconds} s of processor time."
        return ""

    async def close(self) -> None:
        """Ends what is left in its group, and removes that."""
        if self._group is not None:
            await self._group.close()


class Confiner:
    """Makes confinements. ``path`` is where programs are looked for, ``groups`` None when cgroups cannot be used."""

    def __init__(self, path: str, groups: Groups | None) -> None:
        self._prlimit = shutil.which("prlimit", path=path)
        self._nice = shutil.which("nice", path=path)
        self._groups = groups

    def confine(self, limits: Limits, name: str) -> Confinement:
        """For one try; ``name`` is unique among those that are going. Raises Refusal."""
        if limits == NONE:
            return _FREE
        group = None
        if self._groups is not None and (limits.memory or limits.processes):
            group = self._groups.new(name, memory=limits.memory, processes=limits.processes)
        outer = [*(group.enter() if group else ()), *self._rlimits(limits, group), *self._niceness(limits)]
        inner = ("/bin/sh", "-c", 'umask "$0" && exec "$@"', limits.umask) if limits.umask else ()
        return Confinement(limits, group, tuple(outer), inner)

    def _rlimits(self, limits: Limits, group: Group | None) -> list[str]:
        options = []
        if limits.memory and not (group and group.limits_memory):
            options.append(f"--as={limits.memory}")
        if limits.processes and not (group and group.limits_processes):
            options.append(f"--nproc={limits.processes}")
        if limits.open_files:
            options.append(f"--nofile={limits.open_files}")
        if limits.cpu_seconds:
            options.append(f"--cpu={limits.cpu_seconds}:{limits.cpu_seconds + CPU_GRACE}")
        if not options:
            return []
        if self._prlimit is None:
            raise Refusal("The program prlimit is not on this node: install the package util-linux, then restart it.")
        return [self._prlimit, *options, "--"]

    def _niceness(self, limits: Limits) -> list[str]:
        if not limits.nice:
            return []
        if limits.nice < 0 and os.getuid() != 0:
            raise Refusal("Only a worker that runs as root can give a step a niceness below 0: choose 0 or more.")
        if self._nice is None:
            raise Refusal("The program nice is not on this node: install the package coreutils, then restart it.")
        return [self._nice, "-n", str(limits.nice)]


_FREE = Confinement(NONE, None, (), ())
