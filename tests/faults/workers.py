"""The workers of a stage: on hosts with a network of their own, or under a kernel of their own, each with a small disk
of its own that can be filled."""

import os
import socket
import subprocess
import sys
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

import httpx

from tests.faults.guest import Guest
from tests.faults.hosts import Host
from tests.faults.parts import Part
from tests.site.processes import environment
from workers.engine import identity, joining

DISK = "64m"
_PIECE = 1 << 16


@dataclass(slots=True)
class Worker:
    """One worker. ``part`` is started, killed and so on."""

    name: str
    node: str
    disk: Path
    host: Host
    part: Part | Guest

    @property
    def is_guest(self) -> bool:
        """Its clock can be set."""
        return isinstance(self.part, Guest)

    def fill_disk(self) -> None:
        """Not a byte fits on it any more."""
        with (self.disk / "ballast").open("ab", buffering=0) as ballast, suppress(OSError):
            for size in (_PIECE, 1):
                with suppress(OSError):
                    while True:
                        ballast.write(bytes(size))

    def empty_disk(self) -> None:
        """There is room again."""
        (self.disk / "ballast").unlink()


def make_disk(path: Path) -> Path:
    """A file system of its own, of this world."""
    path.mkdir()
    subprocess.run(["mount", "-t", "tmpfs", "-o", f"size={DISK},mode=700", "disk", str(path)], check=True)
    return path


def drop_disk(path: Path) -> None:
    """It is gone, with all that is on it."""
    subprocess.run(["umount", str(path)], check=True)


def join(name: str, disk: Path, server_url: str, token: str) -> str:
    """Enrols a worker whose state is on this disk; the id of its node."""
    about = {"name": name, "machine_id": identity.machine_id(), "host": socket.gethostname(), "version": ""}
    with httpx.Client(timeout=30) as client:
        return joining.enrol(client, disk / "state", server_url, token, about, insecure=True).node


def engine(host: Host, disk: Path, log: Path, session_ttl: float) -> Part:
    """The worker's process."""
    command = (
        *(sys.executable, "-m", "workers.engine", "--state-dir", str(disk / "state")),
        *("--session-ttl", f"{session_ttl:g}", "--grace", "3"),
    )
    return Part(host.name, host, command, environment(disk), log)


def jobs_of(node: str = "") -> list[str]:
    """What runs in this world for a run of this node, or of any: process ids and command lines."""
    mark = b"ECTS_NODE=" + node.encode()
    found = []
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit() and int(entry.name) != os.getpid():
            with suppress(OSError):
                variables = (entry / "environ").read_bytes().split(b"\0")
                is_job = any(variable.startswith(b"ECTS_RUN_ID=") for variable in variables)
                if is_job and any(variable.startswith(mark) for variable in variables):
                    line = (entry / "cmdline").read_bytes().replace(b"\0", b" ").decode(errors="replace")
                    found.append(f"{entry.name} {line.strip()[:200]}")
    return found
