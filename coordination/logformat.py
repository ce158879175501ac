"""Log lines of every process, for people or as JSON for machines; both name the run that they speak of."""

import logging
from contextvars import ContextVar
from datetime import UTC, datetime
from typing import Any
from uuid import UUID

import msgspec

RUN: ContextVar[str] = ContextVar("run", default="")
"""The uuid of the run that the current task works on."""

FORMATS = ("line", "json")

_PLAIN = str | int | float | bool | None | datetime | UUID

_STANDARD = frozenset(vars(logging.makeLogRecord({}))) | {"message", "asctime", "taskName"}


class Lines(logging.Formatter):
    """``2026-01-31 12:00:00,000 INFO name [run]: message``, in local time."""

    def __init__(self) -> None:
        super().__init__("%(asctime)s %(levelname)s %(name)s%(of)s: %(message)s")

    def format(self, record: logging.LogRecord) -> str:
        """One line, or more with a traceback."""
        run = RUN.get()
        record.of = f" [{run}]" if run else ""
        return super().format(record)


class JsonLines(logging.Formatter):
    """One JSON object a line: ``time`` (ISO 8601, UTC), ``level``, ``logger``, ``message``, ``run`` where there is one,
    ``traceback``, and the plain values that the call gave as ``extra``: who knows what an object's words would tell."""

    def format(self, record: logging.LogRecord) -> str:
        """The object, without a line feed in it."""
        line: dict[str, Any] = {
            "time": datetime.fromtimestamp(record.created, UTC),
            "level": record.levelname,
            "logger": record.name,
            "message": record.getMessage(),
        }
        if run := RUN.get():
            line["run"] = run
        line |= {
            name: value
            for name, value in vars(record).items()
            if name not in _STANDARD and name not in line and isinstance(value, _PLAIN)
        }
        if record.exc_info:
            line["traceback"] = self.formatException(record.exc_info)
        return msgspec.json.encode(line).decode()


def formatter(name: str) -> logging.Formatter:
    """Of the format with this name. Raises ValueError for another."""
    if name not in FORMATS:
        raise ValueError(f"ECTS_LOG_FORMAT: found {name!r}, allowed is {' or '.join(FORMATS)}.")
    return JsonLines() if name == "json" else Lines()
