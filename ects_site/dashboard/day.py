"""The last 24 hours in figures, from the statistics of all pipelines: 25 rows a node."""

from collections import defaultdict
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from functools import cached_property
from typing import Any
from uuid import UUID

from django.urls import reverse
from django.utils.formats import date_format
from django.utils.timezone import localtime
from django.utils.translation import gettext as _

from logs.charts import Column, count
from logs.models import Rollup, Run
from logs.rollups import BUCKETS, EVERY

HOURS = 24
BAD = ("failed", "timed_out", "killed", "lost")
ENDED = ("succeeded", *BAD)
STACK = ("succeeded", "running", "skipped", "missed", "killed", "lost", "timed_out", "failed")
"""From the bottom of a column."""

Sums = Mapping[str, int]


@dataclass(frozen=True)
class Day:
    """Sums by the hour (UTC, its begin) and by node and hour; the last hour is the one that is going."""

    hours: dict[datetime, Sums]
    nodes: dict[UUID, dict[datetime, Sums]]

    @cached_property
    def sums(self) -> Sums:
        """Of the whole day."""
        return _summed(self.hours.values())

    @property
    def begin(self) -> datetime:
        """Of its first hour."""
        return next(iter(self.hours))

    @property
    def ended(self) -> int:
        """Runs that came to an end of any kind; what was skipped or missed was none."""
        return sum(self.sums[state] for state in ENDED)

    @property
    def failed(self) -> int:
        """Those that did not end well."""
        return sum(self.sums[state] for state in BAD)

    @property
    def success(self) -> float | None:
        """In percent; None when nothing has ended."""
        return 100 * self.sums["succeeded"] / self.ended if self.ended else None

    @property
    def mean(self) -> float | None:
        """Seconds that a run took; None when there is none whose end was seen."""
        timed = sum(self.sums[bucket] for bucket in BUCKETS)
        return self.sums["duration_sum"] / timed / 1000 if timed else None


def last_day(now: datetime) -> Day:
    """Up to and with the hour that is going."""
    current = now.astimezone(UTC).replace(minute=0, second=0, microsecond=0)
    begins = [current - timedelta(hours=back) for back in reversed(range(HOURS))]
    names = [*Run.State.values, "late", "duration_sum", *BUCKETS]
    rows = Rollup.objects.filter(pipeline=EVERY, span=Rollup.Span.HOUR, begins_at__gte=begins[0])
    nodes: dict[UUID, dict[datetime, Sums]] = defaultdict(dict)
    of_hour: dict[datetime, list[Sums]] = {begin: [] for begin in begins}
    for row in rows.values("node", "begins_at", *names):
        node, begin = row.pop("node"), row.pop("begins_at")
        nodes[node][begin] = row
        of_hour.setdefault(begin, []).append(row)
    return Day({begin: _summed(of_hour[begin]) for begin in begins}, dict(nodes))


def runs_by_hour(day: Day) -> list[Column]:
    """Columns stacked by state."""
    return [
        Column(
            label=_hour(begin) if localtime(begin).hour % 4 == 0 else "",
            title=f"{_hour(begin)} · {_in_words(sums)}",
            parts=tuple((state, sums[state]) for state in STACK),
        )
        for begin, sums in day.hours.items()
    ]


def by_state(day: Day) -> list[dict[str, Any]]:
    """The states that there were: how often, and where such runs are listed."""
    runs = reverse("admin:logs_run_changelist")
    return [
        {"state": state.value, "label": state.label, "count": day.sums[state], "url": f"{runs}?state__exact={state}"}
        for state in Run.State
        if day.sums[state]
    ]


def failures(day: Day) -> str:
    """How many failed in which way; empty for none."""
    return " · ".join(f"{count(day.sums[state])} {Run.State(state).label.lower()}" for state in BAD if day.sums[state])


def durations(day: Day) -> list[Column]:
    """How many runs took how long."""
    labels = ["0.1s", "0.5s", "1s", "5s", "10s", "30s", "1m", "5m", "15m", "1h", "4h", ">4h"]
    return [
        Column(
            label=label,
            title=(
                _("%(runs)d runs took longer than 4 h") if name == "over_4h" else _("%(runs)d runs took up to %(most)s")
            )
            % {"runs": day.sums[name], "most": label},
            parts=(("running", day.sums[name]),),
        )
        for name, label in zip(BUCKETS, labels, strict=True)
    ]


def _hour(begin: datetime) -> str:
    return date_format(localtime(begin), "H:i")


def _in_words(sums: Sums) -> str:
    told = [f"{sums[state]} {Run.State(state).label.lower()}" for state in Run.State.values if sums[state]]
    return ", ".join(told) or _("no fires")


def _summed(rows: Any) -> Sums:
    sums: dict[str, int] = defaultdict(int)
    for row in rows:
        for name, value in row.items():
            sums[name] += value
    return sums
