"""Log lines for people and for machines."""

import json
import logging
import os
import sys
from datetime import UTC, datetime
from pathlib import Path

import pytest

from coordination import logformat


def record(message: str, *arguments: object, **more: object) -> logging.LogRecord:
    made = logging.getLogger("ects.test").makeRecord(
        "ects.test", logging.WARNING, "file.py", 1, message, arguments, None, extra=more or None
    )
    made.created = datetime(2026, 1, 31, 12, tzinfo=UTC).timestamp()
    return made


def read(line: str) -> dict[str, object]:
    assert "\n" not in line
    found: dict[str, object] = json.loads(line)
    return found


def test_json(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(logformat, "_process", {"process": "worker"})
    line = logformat.formatter("json").format(record('%s said "no"\n', "etcd", node="n1", path=Path("/x")))
    assert read(line) == {
        "time": "2026-01-31T12:00:00Z", "level": "WARNING", "logger": "ects.test", "message": 'etcd said "no"\n',
        "node": "n1", "pid": os.getpid(), "process": "worker",
    }  # fmt: skip


def test_an_error_has_its_traceback() -> None:
    try:
        raise OSError("disk full")
    except OSError:
        failed = record("broke")
        failed.exc_info = sys.exc_info()
    line = read(logformat.formatter("json").format(failed))
    assert "OSError: disk full" in str(line["traceback"])


@pytest.mark.parametrize("form", logformat.FORMATS)
def test_the_run_is_named(form: str) -> None:
    formatter = logformat.formatter(form)
    assert "5c9aa1ce" not in formatter.format(record("began"))
    with logformat.about(run="5c9aa1ce"):
        assert "5c9aa1ce" in formatter.format(record("began"))
    assert "5c9aa1ce" not in formatter.format(record("began"))
    assert "5c9aa1ce" in formatter.format(record("began", run="5c9aa1ce"))


def test_who_speaks_and_about_what(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(logformat, "_process", {})
    logformat.identify(process="worker", node="web-1")
    formatter = logformat.formatter("json")
    with logformat.about(pipeline="backup"), logformat.about(run="r"):
        line = read(formatter.format(record("began", level="FAKE", pid=0, time=1)))
    assert line["process"] == "worker"
    assert (line["node"], line["pipeline"], line["run"]) == ("web-1", "backup", "r")
    assert (line["level"], line["time"]) == ("WARNING", "2026-01-31T12:00:00Z"), "extras replace nothing"
    assert line["pid"] == os.getpid()


def test_an_objects_words_are_not_told() -> None:
    line = read(logformat.formatter("json").format(record("Not Found: /x", request=Path("/x?token=s3cret"), status=4)))
    assert "s3cret" not in str(line)
    assert line["status"] == 4


def test_nothing_that_is_quoted_passes_for_another_line() -> None:
    said = logformat.formatter("line").format(record("refused %s", "x\n2026-01-31 INFO all is well\r\x1b[2J"))
    assert said.endswith("refused x\\n2026-01-31 INFO all is well\\r\\x1b[2J")


def test_lines_keep_their_form() -> None:
    assert logformat.formatter("line").format(record("began %d", 1)).endswith(" WARNING ects.test: began 1")


def test_no_other_format() -> None:
    with pytest.raises(ValueError, match="ECTS_LOG_FORMAT: found 'xml', allowed is line or json"):
        logformat.formatter("xml")
