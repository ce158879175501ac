"""What a user of the console does from outside, over the API."""

import contextlib
import secrets
import time
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any, TypeVar

import httpx

T = TypeVar("T")


def wait_for(what: str, probe: Callable[[], T], timeout: float = 60.0) -> T:
    """The first true answer of ``probe``; fails with ``what`` and the last answer after ``timeout`` seconds."""
    deadline = time.monotonic() + timeout
    answer: Any = None
    while time.monotonic() < deadline:
        answer = probe()
        if answer:
            return answer
        time.sleep(0.05)
    raise AssertionError(f"not within {timeout} s: {what}; last answer: {answer!r}")


def instant(text: str) -> datetime:
    return datetime.fromisoformat(text)


class Client:
    """The API at ``url``; ``sign_in`` comes first."""

    def __init__(self, url: str) -> None:
        self.url = url
        # No connection is kept: the server may close one that is idle just as a request is sent.
        limits = httpx.Limits(max_keepalive_connections=0)
        self.api = httpx.Client(base_url=f"{url}/api/v1/", timeout=30, limits=limits)
        self.node = ""
        """The id of the worker that pipelines are bound to unless told otherwise."""

    def sign_in(self, password: str) -> None:
        """As the administrator."""
        reply = self.api.post("auth/token/", json={"username": "admin", "password": password})
        assert reply.status_code == 200, reply.text
        self.api.headers["Authorization"] = f"Bearer {reply.json()['token']}"

    def get(self, path: str, **parameters: Any) -> Any:
        """Retries while the web process is away, as any careful client would."""
        for _ in range(100):
            with contextlib.suppress(httpx.TransportError):
                reply = self.api.get(path, params=parameters or None)
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

    def disable_all(self) -> None:
        for pipeline in self.listed("pipelines/", enabled=True):
            self.disable(pipeline["id"])

    def runs(self, pipeline: str, **parameters: Any) -> list[dict[str, Any]]:
        return self.listed("runs/", pipeline=pipeline, **parameters)

    def ended(self, pipeline: str, count: int = 1, timeout: float = 60.0) -> list[dict[str, Any]]:
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
        return wait_for("the run ends", lambda: (r := self.get(f"runs/{run}/"))["state"] != "running" and r)
