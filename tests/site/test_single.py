"""``manage.py single`` as a process: it begins, it is killed, it begins again elsewhere, and leaves nothing behind."""

import signal
import socket
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import httpx

from ects_site.example import ADMIN
from tests.etcd_server import free_ports, wait_until
from tests.site.processes import environment, kill, manage, mentioning, running, wait_for_line

PASSWORD = "not $HOME but this"


def _single(directory: Path, log: str, port: int, **more: str):
    command = [sys.executable, "manage.py", "single"]
    return running(directory / log, command, environment(directory / "var", ECTS_PORT=str(port), **more))


@contextmanager
def _signed_in(port: int) -> Iterator[httpx.Client]:
    with httpx.Client(base_url=f"http://127.0.0.1:{port}/api/v1/", timeout=30) as api:
        token = api.post("auth/token/", json={"username": ADMIN, "password": PASSWORD}).json()["token"]
        api.headers["Authorization"] = f"Bearer {token}"
        yield api


def _succeeded(api: httpx.Client) -> list[dict]:
    return api.get("runs/", params={"state": "succeeded"}).json()["results"]


def test_killed_and_begun_again_on_another_port(tmp_path: Path) -> None:
    first_port, second_port = free_ports(2)
    data = str(tmp_path / "var")
    with _single(tmp_path, "first", first_port, ECTS_ADMIN_PASSWORD=PASSWORD) as single:
        wait_for_line(tmp_path / "first", "Stop with Ctrl-C", 90)
        assert PASSWORD in wait_for_line(tmp_path / "first", "Password:")
        assert httpx.get(f"http://127.0.0.1:{first_port}/static/ects/ects.css", timeout=30).status_code == 200
        with _signed_in(first_port) as api:
            [run, *_] = wait_until(lambda: _succeeded(api), "the example has run")
        assert [step["state"] for step in run["steps"]][:3] == ["succeeded", "succeeded", "failed"]
        assert [entry for entry in mentioning(data) if "runmaster" in entry or "gunicorn" in entry]
        assert not [entry for entry in mentioning(PASSWORD) if not entry.startswith(f"{single.pid}:")]
        kill(single)
        wait_until(lambda: not mentioning(data), "no orphan is left")

    with _single(tmp_path, "second", second_port, ECTS_BIND="127.0.0.1") as single:
        wait_for_line(tmp_path / "second", "Stop with Ctrl-C", 90)
        said = (tmp_path / "second").read_text()
        assert f"http://127.0.0.1:{second_port}/" in said
        assert "Password" not in said
        assert "from other machines" not in said
        with _signed_in(second_port) as api:
            wait_until(lambda: _succeeded(api)[0]["scheduled_at"] > run["scheduled_at"], "the example runs again")
        again = manage(tmp_path / "var", "single", ECTS_PORT=str(first_port))
        assert again.returncode == 1
        assert "is running on" in again.stderr
        single.send_signal(signal.SIGTERM)
        assert single.wait(120) == 0
        assert mentioning(data) == []


def test_a_port_in_use_is_said(tmp_path: Path) -> None:
    script = "import ects_site.single as s; s.PORT_FREE_WITHIN = 0.5; from django.core.management import call_command"
    with socket.socket() as taken:
        taken.bind(("0.0.0.0", 0))
        taken.listen()
        port = taken.getsockname()[1]
        tried = manage(tmp_path / "var", "shell", "-c", f"{script}; call_command('single')", ECTS_PORT=str(port))
    assert tried.returncode == 1
    assert f"port {port} is in use: set ECTS_PORT" in tried.stderr
    assert not (tmp_path / "var" / "etcd").exists()
