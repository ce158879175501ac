"""Log lines of every process, for people or as JSON for machines; both name the run that they speak of."""

import logging
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar
from datetime import UTC, datetime
from types import MappingProxyType
from typing import Any
from uuid import UUID

import msgspec

FORMATS = ("line", "json")
LEVELS = ("DEBUG", "INFO", "WARNING", "ERROR")

_about: ContextVar[Mapping[str, str]] = ContextVar("about", default=MappingProxyType({}))
_process: dict[str, str] = {}

_PLAIN = str | int | float | bool | None | datetime | UUID
_RESERVED = frozenset({"time", "level", "logger", "message", "pid", "process", "traceback"})
_STANDARD = frozenset(vars(logging.makeLogRecord({}))) | {"message", "asctime", "taskName", "of"}
_CONTROLS = {code: f"\\x{code:02x}" for code in (*range(32), 127) if code != ord("\t")} | {10: "\\n", 13: "\\r"}


def identify(**fields: str) -> None:
    """What every JSON line of this process says from now on: ``process`` (``web``, ``master``, ``worker``), and of a
    worker ``node`` (its name) and ``node_id``."""
    _process.update(fields)


def speak_of(**fields: str) -> None:
    """What the lines of the current task are about from now on: ``run`` (uuid), ``pipeline`` (its name),
    ``pipeline_id``, ``node``."""
    _about.set({**_about.get(), **fields})


@contextmanager
def about(**fields: str) -> Iterator[None]:
    """The same within a block."""
    token = _about.set({**_about.get(), **fields})
    try:
        yield
    finally:
        _about.reset(token)


class Lines(logging.Formatter):
    """``2026-01-31 12:00:00,000 INFO name [run]: message``, in local time. Control characters in the message are
    escaped, so that nothing that is quoted in it can pass for another line."""

    def __init__(self) -> None:
        super().__init__("%(asctime)s %(levelname)s %(name)s%(of)s: %(message)s")

    def format(self, record: logging.LogRecord) -> str:
        """One line, or more with a traceback."""
        run = getattr(record, "run", None) or _about.get().get("run")
        record.of = f" [{run}]" if run else ""
        return super().format(record)

    def formatMessage(self, record: logging.LogRecord) -> str:
        """The line without the traceback."""
        return super().formatMessage(record).translate(_CONTROLS)


class JsonLines(logging.Formatter):
    """One JSON object a line: ``time`` (ISO 8601, UTC), ``level``, ``logger``, ``message``, ``pid``, what ``identify``
    and ``speak_of`` said, ``traceback``, and the plain values that the call gave as ``extra``: nobody knows what the
    words of an object would tell."""

    def format(self, record: logging.LogRecord) -> str:
        """The object, without a line feed in it."""
        line: dict[str, Any] = {
            "time": datetime.fromtimestamp(record.created, UTC),
            "level": record.levelname,
            "logger": record.name,
            "message": record.getMessage(),
            "pid": record.process,
            **_process,
            **_about.get(),
        }
        given = {name: value for name, value in vars(record).items() if name not in _STANDARD}
        line |= {name: value for name, value in given.items() if name not in _RESERVED and isinstance(value, _PLAIN)}
        if record.exc_info:
            line["traceback"] = self.formatException(record.exc_info)
        return msgspec.json.encode(line).decode()


def formatter(name: str) -> logging.Formatter:
    """Of the format with this name. Raises ValueError for another."""
    if name not in FORMATS:
        raise ValueError(f"ECTS_LOG_FORMAT: found {name!r}, allowed is {' or '.join(FORMATS)}.")
    return JsonLines() if name == "json" else Lines()


def level(name: str) -> str:
    """The level of this name, however it is written. Raises ValueError for another."""
    if name.upper() not in LEVELS:
        raise ValueError(f"ECTS_LOG_LEVEL: found {name!r}, allowed is {', '.join(LEVELS)}.")
    return name.upper()


def configure(environ: Mapping[str, str]) -> None:
    """Logs to stderr as ``ECTS_LOG_LEVEL`` and ``ECTS_LOG_FORMAT`` say, in a process that has no other settings for it.
    Raises ValueError with a sentence."""
    handler = logging.StreamHandler()
    handler.setFormatter(formatter(environ.get("ECTS_LOG_FORMAT") or "line"))
    logging.basicConfig(level=level(environ.get("ECTS_LOG_LEVEL") or "INFO"), handlers=[handler])
    logging.getLogger("httpx").setLevel(logging.WARNING)
