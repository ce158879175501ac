"""Log lines for people and for machines."""

import json
import logging
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


def test_json() -> None:
    line = logformat.formatter("json").format(record('%s said "no"\n', "etcd", node="n1", path=Path("/x")))
    assert read(line) == {
        "time": "2026-01-31T12:00:00Z", "level": "WARNING", "logger": "ects.test", "message": 'etcd said "no"\n',
        "node": "n1",
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
    token = logformat.RUN.set("5c9aa1ce")
    try:
        assert "5c9aa1ce" in formatter.format(record("began"))
    finally:
        logformat.RUN.reset(token)


def test_lines_keep_their_form() -> None:
    assert logformat.formatter("line").format(record("began %d", 1)).endswith(" WARNING ects.test: began 1")


def test_no_other_format() -> None:
    with pytest.raises(ValueError, match="ECTS_LOG_FORMAT: found 'xml', allowed is line or json"):
        logformat.formatter("xml")
