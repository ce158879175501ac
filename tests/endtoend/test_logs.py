"""What the processes log: JSON line by line, about whom, and nothing that is secret."""

import json
from typing import Any

from tests.endtoend.client import wait_for
from tests.endtoend.installation import Installation

PARTS = ("web", "master", "worker")


def _said(ects: Installation) -> list[tuple[str, str]]:
    """The lines of the family's members, with who said them; the last one may not be whole yet."""
    lines = (line.partition(" | ") for line in ects.log.read_text().rpartition("\n")[0].split("\n"))
    return [(who.strip(), words) for who, bar, words in lines if bar and who.strip() in PARTS]


def _line_about(ects: Installation, run: str) -> dict[str, Any] | None:
    lines = (json.loads(words) for _, words in _said(ects) if run in words)
    return next((line for line in lines if line["logger"] == "workers.engine.dispatch"), None)


def test_a_line_about_a_run_names_run_pipeline_and_node(ects: Installation) -> None:
    ects.post("secrets/", {"name": "LOGGED_KEY", "value": "s3cr3t-of-the-log"})
    task = ects.task("http", url="http://127.0.0.1:1/{{ secrets.LOGGED_KEY }}")
    pipeline = ects.pipeline("@manual", [{"task": task, "position": 0}])
    run = ects.run_now(pipeline)
    assert run["state"] == "failed"
    line = wait_for("the failure is logged", lambda: _line_about(ects, run["id"]))
    assert line["run"] == run["id"]
    assert line["pipeline_id"] == pipeline
    assert line["pipeline"] == ects.get(f"pipelines/{pipeline}/")["name"]
    assert line["node_id"] == ects.node
    assert line["node"] == run["node_name"]
    assert (line["process"], line["level"]) == ("worker", "INFO")
    assert "failed" in line["message"]


def test_every_line_of_every_process_is_json(ects: Installation) -> None:
    wait_for("all have spoken", lambda: {who for who, _ in _said(ects)} == set(PARTS))
    for who, words in _said(ects):
        try:
            line = json.loads(words)
        except ValueError:
            raise AssertionError(f"{who} says {words!r}") from None
        assert {"time", "level", "logger", "message", "pid"} <= set(line), words
        assert line["process"] == who, words


def test_no_secret_is_in_it(ects: Installation) -> None:
    log = "\n".join(words for _, words in _said(ects))  # the family itself shows the first password, once
    identity = json.loads((ects.directory / "worker" / "identity.json").read_text())
    held = {path.name: path.read_text().strip() for path in (ects.directory / "secrets").iterdir()}
    held |= {name: str(identity[name]) for name in ("token", "private_key")}
    held |= {"password": ects.password, "API token": ects.api.headers["Authorization"].split()[1]}
    held |= {"a secret of a task": "s3cr3t-of-the-log"}
    assert len(held) >= 7
    assert [name for name, value in held.items() if value in log] == []
