"""Control groups of version 2, where the worker may use them (Linux, Documentation/admin-guide/cgroup-v2.rst).

A group is made for each try of a step that has a limit of memory or processes, below the worker's own. That has to be
delegated to it (systemd: ``Delegate=yes``); a controller that is not there is left to rlimits.
"""

import asyncio
import logging
import os
from contextlib import suppress
from pathlib import Path

log = logging.getLogger(__name__)

LEAF = "worker"
"""Where the worker itself goes: a group that hands controllers on must hold no process (section "No Internal Process
Constraint")."""

TRIES, PAUSE = 200, 0.005
"""How often, and after how many seconds each, the removal of a group is tried while killed processes leave it."""


class Groups:
    """The place for groups; ``controllers`` are those that can be used in it."""

    def __init__(self, place: Path, controllers: frozenset[str]) -> None:
        self._place = place
        self.controllers = controllers

    def new(self, name: str, *, memory: int, processes: int) -> "Group | None":
        """A group with these limits (0: none); None when it cannot be made, which is logged."""
        directory = self._place / f"step-{name}"
        limits = {"memory": ("memory.max", memory), "pids": ("pids.max", processes)}
        try:
            directory.mkdir()
            for controller, (file, value) in limits.items():
                if value and controller in self.controllers:
                    (directory / file).write_text(str(value))
            if memory and "memory" in self.controllers:
                with suppress(OSError):  # without swap accounting there is no such file
                    (directory / "memory.swap.max").write_text("0")
        except OSError as error:
            log.warning("no control group for %s: %s", name, error)
            with suppress(OSError):
                directory.rmdir()
            return None
        return Group(directory, self.controllers)


class Group:
    """The group of one try."""

    def __init__(self, directory: Path, controllers: frozenset[str]) -> None:
        self._directory = directory
        self.limits_memory = "memory" in controllers
        self.limits_processes = "pids" in controllers

    def enter(self) -> tuple[str, ...]:
        """What goes before a command so that it, and all that it starts, is in the group."""
        return ("/bin/sh", "-c", 'echo $$ >"$0" && exec "$@"', str(self._directory / "cgroup.procs"))

    def ran_out_of_memory(self) -> bool:
        """Whether the kernel has ended one of its processes for that."""
        with suppress(OSError):
            events = (self._directory / "memory.events").read_text()
            return any(line.startswith("oom_kill ") and not line.endswith(" 0") for line in events.splitlines())
        return False

    async def close(self) -> None:
        """Kills what is left in it and removes it."""
        for _ in range(TRIES):
            if self.remove():
                return
            await asyncio.sleep(PAUSE)
        log.error("%s cannot be emptied", self._directory)

    def remove(self) -> bool:
        """Whether it is gone. What was left in it is killed, and takes a moment to leave it."""
        try:
            self._directory.rmdir()
        except FileNotFoundError:
            return True
        except OSError:
            self._kill()
            return False
        return True

    def _kill(self) -> None:
        with suppress(OSError):
            (self._directory / "cgroup.kill").write_text("1")


def delegated(proc: Path = Path("/proc")) -> Groups | None:
    """The worker's own group, prepared for groups below it; None where that is not to be had."""
    place = _own_group(proc)
    if place is None or not os.access(place, os.W_OK):
        return None
    try:
        controllers = _hand_on(place)
        _remove_left(place)
        probe = place / "step-probe"
        probe.mkdir()
        probe.rmdir()
    except OSError as error:
        log.info("control groups cannot be used: %s", error)
        return None
    return Groups(place, controllers)


def _own_group(proc: Path) -> Path | None:
    """Where version 2 is mounted, and which group there is ours."""
    try:
        mounts = [line.split() for line in (proc / "self/mountinfo").read_text().splitlines()]
        membership = (proc / "self/cgroup").read_text().splitlines()
    except OSError:
        return None
    roots = [fields[4] for fields in mounts if "-" in fields and fields[fields.index("-") + 1] == "cgroup2"]
    own = [line.removeprefix("0::") for line in membership if line.startswith("0::")]
    if not roots or not own:
        return None
    place = Path(roots[0]) / own[0].lstrip("/")
    return place.parent if place.name == LEAF else place


def _hand_on(place: Path) -> frozenset[str]:
    """Hands the controllers on to the groups below, which takes the worker into one of its own first."""
    offered = set((place / "cgroup.controllers").read_text().split()) & {"memory", "pids"}
    held = set((place / "cgroup.subtree_control").read_text().split())
    wanted = offered - held
    if wanted:
        try:
            _step_aside(place)
            (place / "cgroup.subtree_control").write_text(" ".join(f"+{name}" for name in sorted(wanted)))
        except OSError as error:
            log.info("limits of memory and processes are rlimits: %s", error)
            return frozenset(offered & held)
    return frozenset(offered)


def _step_aside(place: Path) -> None:
    leaf = place / LEAF
    leaf.mkdir(exist_ok=True)
    (leaf / "cgroup.procs").write_text(str(os.getpid()))


def _remove_left(place: Path) -> None:
    """Groups of an earlier life."""
    for directory in place.glob("step-*"):
        Group(directory, frozenset()).remove()
