"""A whole ECTS as a newcomer has it (``manage.py single`` in a directory of its own), and a client from outside."""

import contextlib
import os
import secrets
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, TypeVar

import httpx

ROOT = Path(__file__).resolve().parents[2]
T = TypeVar("T")


def wait_for(what: str, probe: Callable[[], T], timeout: float = 30.0) -> T:
    """The first true answer of ``probe``; fails with ``what`` and the last answer after ``timeout`` seconds."""
    deadline = time.monotonic() + timeout
    answer: Any = None
    while time.monotonic() < deadline:
        answer = probe()
        if answer:
            return answer
        time.sleep(0.05)
    raise AssertionError(f"not within {timeout} s: {what}; last answer: {answer!r}")


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def instant(text: str) -> datetime:
    return datetime.fromisoformat(text)


class Installation:
    """One running ``manage.py single``. ``api`` is signed in as the administrator."""

    def __init__(self, directory: Path, environment: dict[str, str] | None = None) -> None:
        self.directory = directory
        self.port = free_port()
        self.password = secrets.token_urlsafe(12)
        self.url = f"http://127.0.0.1:{self.port}"
        self.environment = os.environ | {
            "ECTS_DATA_DIR": str(directory),
            "ECTS_PORT": str(self.port),
            "ECTS_ADMIN_PASSWORD": self.password,
            **(environment or {}),
        }
        self.environment.pop("DJANGO_SETTINGS_MODULE", None)
        self.log = directory.with_name(directory.name + ".log")
        self.api = httpx.Client(base_url=f"{self.url}/api/v1/", timeout=10)
        self.workers: list[subprocess.Popen[bytes]] = []
        self.node = ""
        """The id of the worker that belongs to it."""
        self.process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        self.process = self.manage("single")
        wait_for("readyz answers 200", self.is_ready, 90)
        self.sign_in()
        online = wait_for("the worker is online", lambda: [n for n in self.nodes() if n["status"] == "online"])
        self.node = str(online[0]["id"])

    def manage(self, *arguments: str, **environment: str) -> subprocess.Popen[bytes]:
        with self.log.open("ab") as log:
            return subprocess.Popen(
                [sys.executable, "manage.py", *arguments],
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
            return httpx.get(f"{self.url}/readyz", timeout=3).status_code == 200
        return False

    def sign_in(self) -> None:
        reply = self.api.post("auth/token/", json={"username": "admin", "password": self.password})
        assert reply.status_code == 200, reply.text
        self.api.headers["Authorization"] = f"Bearer {reply.json()['token']}"

    def stop(self) -> None:
        for worker in self.workers:
            worker.send_signal(signal.SIGTERM)
        for worker in self.workers:
            worker.wait(30)
        if self.process is not None:
            self.process.send_signal(signal.SIGTERM)
            self.process.wait(40)
        self.api.close()

    # -- from outside -------------------------------------------------------------------------------------------

    def get(self, path: str, **parameters: Any) -> Any:
        """Retries while the web process is away, as any careful client would."""
        for _ in range(100):
            with contextlib.suppress(httpx.TransportError):
                reply = self.api.get(path, params=parameters)
                if reply.status_code < 500:
                    assert reply.status_code == 200, reply.text
                    return reply.json()
            time.sleep(0.1)
        raise AssertionError(f"{path} does not answer")

    def listed(self, path: str, **parameters: Any) -> list[dict[str, Any]]:
        """All pages of a list."""
        page = self.get(path, **parameters)
        rows = list(page["results"])
        while page["next"]:
            page = self.get(page["next"])
            rows += page["results"]
        return rows

    def post(self, path: str, body: dict[str, Any], expect: int = 201) -> Any:
        reply = self.api.post(path, json=body)
        assert reply.status_code == expect, f"{path}: {reply.status_code} {reply.text}"
        return reply.json()

    def nodes(self) -> list[dict[str, Any]]:
        return [node for node in self.listed("nodes/") if node["mode"] == "worker"]

    def task(self, kind: str, content: str = "", **more: Any) -> int:
        body = {"name": f"{kind}-{secrets.token_hex(4)}", "kind": kind, "content": content, **more}
        return int(self.post("tasks/", body)["id"])

    def pipeline(self, schedule: str, steps: list[dict[str, Any]], **more: Any) -> str:
        body = {
            "name": f"p-{secrets.token_hex(4)}",
            "schedule": schedule,
            "enabled": True,
            "steps": steps,
            "nodes": [self.node],
            **more,
        }
        return str(self.post("pipelines/", body)["id"])

    def disable(self, pipeline: str) -> None:
        reply = self.api.patch(f"pipelines/{pipeline}/", json={"enabled": False})
        assert reply.status_code == 200, reply.text

    def runs(self, pipeline: str, **parameters: Any) -> list[dict[str, Any]]:
        return self.listed("runs/", pipeline=pipeline, **parameters)

    def ended(self, pipeline: str, count: int = 1, timeout: float = 30.0) -> list[dict[str, Any]]:
        """At least ``count`` ended runs, newest first."""

        def probe() -> list[dict[str, Any]]:
            rows = [run for run in self.runs(pipeline) if run["state"] not in ("running", "missed", "skipped")]
            return rows if len(rows) >= count else []

        return wait_for(f"{count} ended runs of {pipeline}", probe, timeout)

    def quiet(self, pipeline: str, seconds: float) -> bool:
        """Whether the newest run is scheduled more than ``seconds`` before now."""
        [newest, *_] = self.ended(pipeline)
        return datetime.now(UTC) - instant(newest["scheduled_at"]) > timedelta(seconds=seconds)

    def run_now(self, pipeline: str, environment: dict[str, str] | None = None) -> dict[str, Any]:
        """Runs by hand and waits for the end."""
        [run] = self.post(f"pipelines/{pipeline}/run/", {"environment": environment or {}}, 202)["runs"]
        return wait_for("the run ends", lambda: (r := self.get(f"runs/{run}/"))["state"] != "running" and r, 30)

    def add_worker(self, name: str) -> subprocess.Popen[bytes]:
        token = self.post("enrolment-tokens/", {"node": None, "uses": 1, "expires_in": 600})["token"]
        state = self.directory / f"worker-{name}"
        worker = self.manage(
            "runworker", "--server", self.url, "--name", name, "--state-dir", str(state), ECTS_ENROLMENT_TOKEN=token
        )
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
