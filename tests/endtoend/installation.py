"""A whole ECTS as a newcomer has it (``manage.py single`` in a directory of its own), and a client from outside."""

import contextlib
import os
import secrets
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import httpx

from tests.endtoend import databases
from tests.endtoend.client import Client, wait_for
from tests.etcd_server import free_ports

ROOT = Path(__file__).resolve().parents[2]


def free_port() -> int:
    """For a server that may be away for a while: of those that no outgoing connection takes meanwhile."""
    [port] = free_ports(1)
    return port


class Installation(Client):
    """One running ``manage.py single``. ``api`` is signed in as the administrator."""

    def __init__(self, directory: Path, environment: dict[str, str] | None = None) -> None:
        self.directory = directory
        self.port = free_port()
        self.password = secrets.token_urlsafe(12)
        super().__init__(f"http://127.0.0.1:{self.port}")
        self.environment = (
            os.environ
            | databases.own(os.environ | (environment or {}))
            | {
                "ECTS_DATA_DIR": str(directory),
                "ECTS_PORT": str(self.port),
                "ECTS_ADMIN_PASSWORD": self.password,
                **{name: value for name, value in (environment or {}).items() if name != "ECTS_DATABASE_URL"},
            }
        )
        self.environment.pop("DJANGO_SETTINGS_MODULE", None)
        self.log = directory.with_name(directory.name + ".log")
        self.workers: list[subprocess.Popen[bytes]] = []
        self.process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        self.process = self.manage("single")
        wait_for("readyz answers 200", self.is_ready, 90)
        self.sign_in(self.password)
        online = wait_for("the worker is online", lambda: [n for n in self.nodes() if n["status"] == "online"])
        self.node = str(online[0]["id"])

    def manage(self, *arguments: str, python: str = sys.executable, **environment: str) -> subprocess.Popen[bytes]:
        with self.log.open("ab") as log:
            return subprocess.Popen(
                [python, "manage.py", *arguments],
                cwd=ROOT,
                env=self.environment | environment,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,
            )

    def is_ready(self) -> bool:
        assert self.process is not None
        assert self.process.poll() is None, f"single ended early:\n{self.log.read_text()[-5000:]}"
        with contextlib.suppress(httpx.HTTPError):
            return httpx.get(f"{self.url}/readyz", timeout=10).status_code == 200
        return False

    def stop(self) -> None:
        for worker in self.workers:
            worker.send_signal(signal.SIGTERM)
        for worker in self.workers:
            worker.wait(120)
        if self.process is not None:
            self.process.send_signal(signal.SIGTERM)
            self.process.wait(120)
        self.api.close()

    def add_worker(self, name: str) -> subprocess.Popen[bytes]:
        token = self.post("enrolment-tokens/", {"node": None, "uses": 1, "expires_in": 600})["token"]
        state = self.directory / f"worker-{name}"
        more = {"ECTS_ENROLMENT_TOKEN": token, "ECTS_WORKER_METRICS": ""}
        worker = self.manage("runworker", "--server", self.url, "--name", name, "--state-dir", str(state), **more)
        self.workers.append(worker)
        wait_for(
            f"{name} is online", lambda: [n for n in self.nodes() if n["name"] == name and n["status"] == "online"]
        )
        return worker

    def child(self, needle: str) -> int:
        """The process id of a child of this installation whose command line holds ``needle``."""
        assert self.process is not None
        for pid in descendants(self.process.pid):
            if needle in command_line(pid):
                return pid
        raise AssertionError(f"no child with {needle!r}: {[command_line(p) for p in descendants(self.process.pid)]}")


def command_line(pid: int) -> str:
    with contextlib.suppress(OSError):
        return Path(f"/proc/{pid}/cmdline").read_bytes().replace(b"\0", b" ").decode(errors="replace")
    return ""


def descendants(pid: int) -> Iterator[int]:
    """All processes below ``pid``, nearest first."""
    with contextlib.suppress(OSError):
        for task in Path(f"/proc/{pid}/task").iterdir():
            for child in (task / "children").read_text().split():
                yield int(child)
                yield from descendants(int(child))


def processes_with(variable: str) -> list[int]:
    """Processes that carry ``NAME=value`` in their environment."""
    found = []
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            with contextlib.suppress(OSError):
                if variable.encode() in (entry / "environ").read_bytes().split(b"\0"):
                    found.append(int(entry.name))
    return found
