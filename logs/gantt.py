"""The steps of a run in time: where its bars lie, and the marks of the axis. In hundredths of the width."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from itertools import pairwise

from django.utils.dateparse import parse_datetime
from django.utils.html import format_html, format_html_join
from django.utils.safestring import SafeString
from django.utils.timezone import localtime
from django.utils.translation import gettext as _

from logs.models import Run, StepRun
from logs.reasons import localized
from logs.run_times import duration

LEAST = 0.4
"""The width of a bar that would be too narrow to be seen."""

MARKS = 6
"""The most marks of the axis."""

STEPS = (0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1, 2, 5, 10, 15, 30, 60, 120, 300, 600, 900, 1800, 3600, 7200, 14400, 28800)
"""Seconds from one mark to the next that are easy to read."""


@dataclass(frozen=True)
class Scale:
    """The time that the drawing is wide: from the run's start to its end, or to now."""

    begins: datetime
    ends: datetime

    @property
    def seconds(self) -> float:
        """At least a millisecond, to divide by."""
        return max((self.ends - self.begins).total_seconds(), 0.001)

    def place(self, instant: datetime) -> float:
        """Between 0 and 100."""
        return min(max((instant - self.begins).total_seconds() / self.seconds * 100, 0), 100)

    def marks(self) -> list[tuple[float, str]]:
        """(place, text) of each."""
        step = next((one for one in STEPS if self.seconds / one < MARKS), self.seconds / (MARKS - 1))
        count = int(self.seconds / step)
        return [(round(number * step / self.seconds * 100, 2), _mark(number * step)) for number in range(count + 1)]


def scale(run: Run, steps: Sequence[StepRun], now: datetime) -> Scale | None:
    """None when nothing of the run has begun."""
    begins = min((step.started_at for step in steps if step.started_at), default=None)
    begins = min(filter(None, (begins, run.started_at)), default=None)
    if begins is None:
        return None
    if run.state == Run.State.RUNNING:
        return Scale(begins, max(now, begins))
    ends = max((step.finished_at for step in steps if step.finished_at), default=begins)
    return Scale(begins, max(filter(None, (ends, run.finished_at))))


def track(step: StepRun, scale: Scale) -> SafeString:
    """The line of one step: a bar for each try, and the waits between them."""
    spans = _spans(step, scale.ends)
    lines = [(place, place) for place, _text in scale.marks()]
    waits = [_from_to(scale, before[1], after[0]) for before, after in pairwise(spans)]
    bars = [(*_from_to(scale, begin, end), state, words) for begin, end, state, words in spans]
    return format_html(
        '<svg class="ects-track" width="100%" height="20" role="img" aria-label="{}">{}{}{}</svg>',
        "; ".join(span[3] for span in spans) or step.get_state_display(),
        format_html_join("", '<line x1="{}%" x2="{}%" y1="0" y2="20"></line>', lines),
        format_html_join("", '<rect class="ects-wait" x="{}%" y="9" width="{}%" height="2"></rect>', waits),
        format_html_join(
            "",
            '<rect x="{}%" y="3" width="{}%" height="14" rx="3" class="ects-fill-{}"><title>{}</title></rect>',
            bars,
        ),
    )


def _spans(step: StepRun, until: datetime) -> list[tuple[datetime, datetime, str, str]]:
    """From, to, state and words of each try that is known of; the last has the step's state."""
    if step.started_at is None:
        return []
    end = step.finished_at or max(until, step.started_at)
    tries = step.tries or []
    first = step.attempts - len(tries) + 1
    spans = []
    for number, one in enumerate(tries[:-1], first):
        begin, finish = parse_datetime(one["started_at"]), parse_datetime(one.get("finished_at") or "")
        if begin and finish:
            spans.append((begin, finish, "failed", _try_words(number, begin, finish, one.get("reason", ""))))
    last = (parse_datetime(tries[-1]["started_at"]) if tries else None) or step.started_at
    words = f"{step.task_name}: {step.get_state_display()}"
    if step.attempts > 1:
        words = _("try %(number)d: %(state)s") % {"number": step.attempts, "state": step.get_state_display()}
    told = [words, f"{localtime(last):%H:%M:%S}", duration(end - last), localized(step.reason)]
    return [*spans, (last, end, step.state, " · ".join(filter(None, told)))]


def _try_words(number: int, begin: datetime, end: datetime, reason: str) -> str:
    words = _("try %(number)d: %(state)s") % {"number": number, "state": StepRun.State.FAILED.label}
    return " · ".join(filter(None, [words, f"{localtime(begin):%H:%M:%S}", duration(end - begin), localized(reason)]))


def _from_to(scale: Scale, begin: datetime, end: datetime) -> tuple[float, float]:
    """Place and width, so that even the shortest lies inside."""
    width = max(scale.place(end) - scale.place(begin), LEAST)
    return round(min(scale.place(begin), 100 - width), 3), round(width, 3)


def _mark(seconds: float) -> str:
    if seconds < 60:
        return f"{seconds:g} s"
    minutes, rest = divmod(int(seconds), 60)
    if minutes < 60:
        return f"{minutes}:{rest:02}"
    return f"{minutes // 60}:{minutes % 60:02}:{rest:02}"
