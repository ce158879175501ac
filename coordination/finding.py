"""What the doctor's checks find, on the console's side and on a worker's, and how it is told."""

import json
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import asdict, dataclass
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


def tell(
    findings: Iterable[Finding],
    write: Callable[[str], object],
    *,
    as_json: bool,
    paint: Callable[[Verdict, str], str] = lambda verdict, text: text,
) -> bool:
    """Writes each as soon as it is known: two lines for people, or an object a line. Whether nothing fails."""
    is_well = True
    for finding in findings:
        is_well &= finding.verdict is not Verdict.FAIL
        if as_json:
            write(json.dumps(asdict(finding), ensure_ascii=False))
            continue
        write(f"{paint(finding.verdict, f'{finding.verdict:4}')}  {finding.subject}: {finding.words}")
        if finding.advice:
            write(f"      -> {finding.advice}")
    return is_well


def examine(checks: Mapping[str, Check]) -> Iterator[Finding]:
    """The findings of all checks by subject; none can stop the others."""
    for subject, check in checks.items():
        try:
            yield from check()
        except Exception as error:  # whatever it is, it is the finding
            words = str(error).strip().splitlines()[0] if str(error).strip() else type(error).__name__
            yield fail(subject, f"could not be looked at: {words[:300]}", "Mend what is reported above first.")
