"""gunicorn as the product starts it: its processes count together, requests have lines, nothing is left behind."""

import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest
from prometheus_client.parser import text_string_to_metric_families

from tests.etcd_server import free_ports, wait_until
from tests.site.processes import ROOT, environment, manage, running


class Web:
    """Two processes behind one port."""

    def __init__(self, directory: Path, port: int) -> None:
        self.url = f"http://127.0.0.1:{port}"
        self.log = directory / "web.log"
        self.process: subprocess.Popen[bytes]

    def answers(self) -> bool:
        try:
            return httpx.get(f"{self.url}/healthz", timeout=30).status_code == 200
        except httpx.TransportError:
            return False

    def lines(self) -> list[dict[str, object]]:
        """The last one may not be whole yet."""
        return [json.loads(line) for line in self.log.read_text().rpartition("\n")[0].splitlines()]

    def workers(self) -> list[int]:
        children = Path(f"/proc/{self.process.pid}/task/{self.process.pid}/children")
        return [int(pid) for pid in children.read_text().split()]

    def counted(self, area: str, status: str) -> float:
        text = httpx.get(f"{self.url}/metrics", timeout=30).text
        return next(
            sample.value
            for family in text_string_to_metric_families(text)
            for sample in family.samples
            if (sample.name, sample.labels) == ("ects_http_requests_total", {"area": area, "status": status})
        )

    def counts(self) -> list[Path]:
        """The files in which its processes count."""
        held = Path(f"/proc/{self.process.pid}/environ")
        assert held.exists()
        return [path for pid in self.workers() for path in Path("/dev/shm").glob(f"ects-metrics-*/counter_{pid}.db")]


@pytest.fixture(scope="module")
def web(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Web]:
    directory = tmp_path_factory.mktemp("web")
    [port] = free_ports(1)
    it = Web(directory, port)
    settings = {"ECTS_PORT": str(port), "ECTS_BIND": "127.0.0.1", "ECTS_ETCD_ENDPOINTS": "127.0.0.1:1"}
    migrated = manage(directory, "migrate", **settings)
    assert migrated.returncode == 0, migrated.stderr
    # From the settings file: gunicorn itself has to know of it too.
    (directory / "settings.env").write_text('ECTS_LOG_FORMAT="json"\nECTS_ACCESS_LOG="yes"\n')
    command = [sys.executable, "-m", "gunicorn", "--config", str(ROOT / "ects_site" / "web_server.py")]
    with running(it.log, command, environment(directory, **settings)) as it.process:
        wait_until(it.answers, f"the console answers, see {it.log}")
        yield it


def test_both_processes_count_together_and_go_on_when_one_dies(web: Web) -> None:
    before = web.counted("other", "4xx")

    def both_have_counted() -> bool:
        httpx.get(f"{web.url}/nowhere", timeout=30)
        nonlocal asked
        asked += 1
        return len(web.counts()) == 2

    asked = 0
    wait_until(both_have_counted, "each process has a file")
    for _ in range(30):
        httpx.get(f"{web.url}/nowhere", timeout=30)
    assert [web.counted("other", "4xx") for _ in range(8)] == [before + asked + 30] * 8, "whoever answers"
    victim = web.workers()[0]
    os.kill(victim, signal.SIGKILL)
    wait_until(lambda: len(web.workers()) == 2 and victim not in web.workers(), "there is another one")
    wait_until(web.answers, "the console answers")
    assert web.counted("other", "4xx") == before + asked + 30, "what it has counted stays"


def test_each_request_has_a_line_without_what_may_be_secret(web: Web) -> None:
    httpx.get(f"{web.url}/no%0awhere?token=s3cret", headers={"Authorization": "Bearer hidden"}, timeout=30)
    # The answer is out before its line is.
    [line] = wait_until(lambda: [line for line in web.lines() if line.get("path") == "/no%0awhere"], "it has a line")
    assert line["logger"] == "gunicorn.access"
    assert (line["method"], line["status"], line["remote"]) == ("GET", 404, "127.0.0.1")
    assert float(str(line["seconds"])) < 60
    assert "s3cret" not in web.log.read_text()
    assert "hidden" not in web.log.read_text()


def test_nothing_is_left_behind(web: Web) -> None:
    [directory] = {path.parent for path in web.counts()}
    web.process.terminate()
    web.process.wait(120)
    assert not directory.exists()
