"""Workers and masters tell how they are: counted while they work, and while something is away."""

import json
import os
import re
import signal
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager

import httpx
import pytest
import yaml
from prometheus_client.parser import text_string_to_metric_families

from tests.endtoend.client import wait_for
from tests.endtoend.installation import ROOT, Installation
from tests.endtoend.scraping import PROCESSES, Process, address, exposition, readiness, scrape


def _grown(ects: Installation, process: Process, sample: tuple[str, ...], since: float, by: float = 1) -> float:
    """The sample, once it is so much more than it was."""
    found = lambda: scrape(ects, process).get(sample, 0.0)  # noqa: E731
    return wait_for(f"{sample} of the {process} grows", lambda: (now := found()) >= since + by and now)


@pytest.mark.parametrize("process", PROCESSES)
def test_alive_and_ready(ects: Installation, process: Process) -> None:
    assert httpx.get(f"{address(ects, process)}/healthz", timeout=30).text == "ok\n"
    said = wait_for("it is ready", lambda: (said := readiness(ects, process)) and said["ready"] and said)
    assert said["status"] == 200
    assert said["etcd"] == "ok"


def test_fires_are_counted_by_how_they_ended(ects: Installation) -> None:
    before = scrape(ects, "worker")
    good = ects.pipeline("* * * * * *", [{"task": ects.task("shell", "true")}])
    bad = ects.pipeline("* * * * * *", [{"task": ects.task("shell", "false")}])
    for outcome in ("succeeded", "failed"):
        _grown(ects, "worker", ("ects_fires_total", outcome), before["ects_fires_total", outcome], by=2)
    ects.disable(good)
    ects.disable(bad)
    after = scrape(ects, "worker")
    count = ("ects_fire_lateness_seconds_count",)
    fires = [outcome for name, *outcome in after if name == "ects_fires_total"]
    assert after[count] - before[count] >= 4
    assert len(fires) == 7, "every way to end, from the beginning on"
    late = ("ects_fire_lateness_seconds_sum",)
    assert after[late] > before[late], "nothing begins before its instant"
    assert after["ects_worker_capacity",] == 256
    assert 0 < after["ects_lease_remaining_seconds", "presence"] <= 10
    _grown(ects, "worker", ("ects_delivered_records_total",), before["ects_delivered_records_total",])


def test_claims_are_counted(ects: Installation) -> None:
    before = scrape(ects, "worker")
    pipeline = ects.pipeline("* * * * * *", [{"task": ects.task("shell", "true")}], placement="one_sticky")
    _grown(ects, "worker", ("ects_claims_total", "won"), before["ects_claims_total", "won"], by=2)
    ects.disable(pipeline)
    assert 0 < scrape(ects, "worker")["ects_lease_remaining_seconds", "session"] <= 30


def test_a_wait_for_a_place_and_a_run_show(ects: Installation) -> None:
    flag = ects.directory.parent / "go"
    pipeline = ects.pipeline("@manual", [{"task": ects.task("shell", f"until [ -e {flag} ]; do sleep 0.05; done")}])
    ects.post(f"pipelines/{pipeline}/run/", {}, expect=202)
    wait_for("one runs", lambda: scrape(ects, "worker")["ects_worker_running",] == 1)
    flag.touch()
    wait_for("none runs", lambda: scrape(ects, "worker")["ects_worker_running",] == 0)


@contextmanager
def _without(ects: Installation, part: str) -> Iterator[None]:
    """One of the family is dead, and its head, who would start another at once, stands still."""
    assert ects.process is not None
    ects.process.send_signal(signal.SIGSTOP)
    try:
        os.killpg(ects.child(part), signal.SIGKILL)
        yield
    finally:
        ects.process.send_signal(signal.SIGCONT)


def _unready(ects: Installation, part: str) -> dict[str, object]:
    """What it says once it misses this part. The head keeps the console's port open: that a console does not answer is
    known only when the patience of a delivery is over."""

    def probe() -> dict[str, object] | None:
        said = readiness(ects, "worker")
        return said if said.get("status") == 503 and said[part] != "ok" else None

    return wait_for(f"the worker misses {part}", probe, 90) or {}


def test_the_console_is_away(ects: Installation) -> None:
    pipeline = ects.pipeline("* * * * * *", [{"task": ects.task("shell", "true")}])
    ects.ended(pipeline, 1)
    failures = scrape(ects, "worker")["ects_delivery_failures_total",]
    with _without(ects, "gunicorn"):
        said = _unready(ects, "console")
        assert "the console cannot be reached" in str(said["console"])
        assert (said["etcd"], said["journal"]) == ("ok", "ok")
        assert httpx.get(f"{address(ects, 'worker')}/healthz", timeout=30).status_code == 200
        _grown(ects, "worker", ("ects_delivery_failures_total",), failures)
        waiting = wait_for(
            "records wait", lambda: (now := scrape(ects, "worker"))["ects_journal_oldest_seconds",] and now
        )
        assert waiting["ects_journal_backlog_records",] > 0
        assert waiting["ects_journal_backlog_bytes",] > 100
        assert waiting["ects_console_reached",] == 0
    wait_for("it is back", lambda: readiness(ects, "worker").get("ready"), 60)
    ects.disable(pipeline)
    delivered = wait_for(
        "all is delivered", lambda: (now := scrape(ects, "worker"))["ects_journal_backlog_records",] == 0 and now
    )
    assert delivered["ects_journal_oldest_seconds",] == 0


def test_etcd_is_away(ects: Installation) -> None:
    before = scrape(ects, "worker")
    with _without(ects, "etcd --"):
        assert "not connected" in str(_unready(ects, "etcd")["etcd"])
    wait_for("it is back", lambda: readiness(ects, "worker").get("ready"), 60)
    _grown(ects, "worker", ("ects_watch_restarts_total",), before["ects_watch_restarts_total",])
    after = scrape(ects, "worker")
    name = "ects_etcd_disconnected_seconds_total"
    assert after[name,] > before[name,] + 0.3, "the pause before it is tried again counts"
    assert after["ects_etcd_connected",] == 1
    failed = [duty for sample, *duty in scrape(ects, "master") if sample == "ects_duty_failures_total"]
    assert ["presence"] in failed, "a duty shows before it has ever failed"


def test_the_master_tells_of_its_duties(ects: Installation) -> None:
    wait_for("it leads, after whatever was done to it", lambda: scrape(ects, "master")["ects_master_leader",] == 1)
    before = scrape(ects, "master")
    ects.pipeline("@manual", [{"task": ects.task("shell", "true")}])
    _grown(ects, "master", ("ects_resync_seconds_count",), before["ects_resync_seconds_count",])
    after = wait_for("all is published", lambda: (now := scrape(ects, "master"))["ects_outbox_pending",] == 0 and now)
    assert after["ects_database_reached",] == 1
    assert 0 < after["ects_lease_remaining_seconds", "election"] <= 5


def test_what_is_exposed_is_documented_and_the_reverse(ects: Installation) -> None:
    documented = _documented()
    for process in PROCESSES:
        families = {family.name for family in text_string_to_metric_families(exposition(ects, process))}
        # The parser drops the suffixes of counters and infos.
        exposed = {name.removesuffix("_total").removesuffix("_info") for name in families}
        assert exposed == {name.removesuffix("_total").removesuffix("_info") for name in documented[process]}


def test_the_dashboard_and_the_alerts_speak_of_what_is_exposed(ects: Installation) -> None:
    exposed: dict[str, set[str]] = {}
    for process in PROCESSES:
        for family in text_string_to_metric_families(exposition(ects, process)):
            for sample in family.samples:
                exposed.setdefault(sample.name, set()).update(sample.labels)
    rules = yaml.safe_load((ROOT / "grafana" / "alerts.yaml").read_text())["groups"][0]["rules"]
    panels = json.loads((ROOT / "grafana" / "ects.json").read_text())["panels"]
    asked = [rule["expr"] for rule in rules] + [one["expr"] for panel in panels for one in panel.get("targets", [])]
    text = "\n".join(asked)
    assert set(re.findall(r"ects_\w+", text)) - set(exposed) == set()
    for name, matchers in re.findall(r"(ects_\w+)\{(.*?)\}", text):
        assert set(re.findall(r"(\w+)[=!]", matchers)) <= exposed[name], name
    given = {"instance", "job", *(label for labels in exposed.values() for label in labels)}
    grouped = {label.strip() for labels in re.findall(r"by \((.*?)\)", text) for label in labels.split(",")}
    assert grouped - given == set()


@pytest.mark.parametrize("process", PROCESSES)
def test_promtool_finds_nothing_to_mend(ects: Installation, process: Process) -> None:
    checked = subprocess.run(
        ["promtool", "check", "metrics"], input=exposition(ects, process), capture_output=True, text=True, check=False
    )
    assert (checked.returncode, checked.stderr) == (0, "")


def _documented() -> dict[Process, set[str]]:
    """The names in the tables of docs/reference/metrics.md, by who exposes them."""
    text = (ROOT / "docs" / "reference" / "metrics.md").read_text()
    sections = dict(re.findall(r"(?ms)^## (.+?)$(.*?)(?=^## |\Z)", text))
    found: dict[Process, set[str]] = {process: set() for process in PROCESSES}
    for heading, body in sections.items():
        for process in PROCESSES:
            if process in heading.lower():
                found[process] |= set(re.findall(r"(?m)^\| `(ects_\w+)` \|", body))
    return found
