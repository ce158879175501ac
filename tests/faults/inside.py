"""A world of its own for a run: its processes, network and mounts are not this machine's, and whatever was started in
it ends with it."""

import os
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import NoReturn

_MARK = "ECTS_FAULTS_WORLD"

_WORLD = ("--mount", "--net", "--pid", "--uts", "--ipc", "--fork", "--kill-child", "--mount-proc")

_FIRST = '"$@"; exit $?'
"""The first process of a world has to bury all who lost their parents: a shell that waits does (bash(1))."""


def is_inside() -> bool:
    """Whether this process lives in a world of its own."""
    return _MARK in os.environ


def enter(module: str, arguments: Sequence[str]) -> NoReturn:
    """Goes on as ``python -m module arguments`` in a new world. Who is not root becomes it there."""
    command = ["unshare", *_WORLD]
    if os.geteuid() != 0:
        command += ["--user", "--map-root-user"]
    command += ["bash", "-c", _FIRST, "world", sys.executable, "-m", module, *arguments]
    os.execvpe("unshare", command, os.environ | {_MARK: "1"})


def others() -> Iterator[tuple[int, str]]:
    """Process ids and command lines of all in this world but its first process and this one. Zombies do not count."""
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit() and int(entry.name) not in (1, os.getpid()):
            try:
                state = (entry / "stat").read_text().rpartition(")")[2].split()[0]
                line = (entry / "cmdline").read_bytes().replace(b"\0", b" ").decode(errors="replace").strip()
            except OSError:  # it has just ended
                continue
            if state != "Z":
                yield int(entry.name), line
