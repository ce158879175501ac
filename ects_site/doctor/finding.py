"""What a check of the doctor found."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from enum import StrEnum


class Verdict(StrEnum):
    """How bad it is: ``fail`` stops something from working, ``warn`` may."""

    OK = "ok"
    WARN = "warn"
    FAIL = "fail"


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing that was looked at. ``advice`` says what to do; empty when nothing is to be done."""

    subject: str
    verdict: Verdict
    words: str
    advice: str = ""


Check = Callable[[], Iterator[Finding]]
"""Looks at one part; whatever it raises is a finding too."""


def ok(subject: str, words: str) -> Finding:
    """As it should be."""
    return Finding(subject, Verdict.OK, words)


def warn(subject: str, words: str, advice: str) -> Finding:
    """Works, but not for long or not well."""
    return Finding(subject, Verdict.WARN, words, advice)


def fail(subject: str, words: str, advice: str) -> Finding:
    """Does not work."""
    return Finding(subject, Verdict.FAIL, words, advice)
