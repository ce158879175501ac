"""Statistics kept while runs are written: ``Rollup`` rows move by the difference that a change of runs makes."""

from bisect import bisect_left
from collections.abc import Collection, Mapping
from datetime import UTC, datetime, timedelta
from typing import NamedTuple
from uuid import UUID

from logs.models import Rollup, Run
from logs.rows import Table

CONCLUDED = frozenset({"succeeded", "failed", "timed_out", "killed"})
"""Ends that a worker saw. Nothing replaces them."""

BUCKETS = {
    "up_to_100ms": 100,
    "up_to_500ms": 500,
    "up_to_1s": 1_000,
    "up_to_5s": 5_000,
    "up_to_10s": 10_000,
    "up_to_30s": 30_000,
    "up_to_1m": 60_000,
    "up_to_5m": 300_000,
    "up_to_15m": 900_000,
    "up_to_1h": 3_600_000,
    "up_to_4h": 14_400_000,
    "over_4h": None,
}
"""The most milliseconds that a duration in this column has."""

EVERY = UUID(int=0)
"""Stands for the pipeline in the rows that sum up all of a node's. Ids of pipelines are random: none is nil."""

LATE = timedelta(seconds=1)
"""What begins later than this after its instant counts as late."""

LONGEST = 10 * 366 * 86_400_000
"""Milliseconds; what is said to have taken longer is counted as this, so that no sum can overflow."""

_BOUNDS = [bound for bound in BUCKETS.values() if bound is not None]
_STATES = list(Run.State.values)
_KEY = ["pipeline", "span", "begins_at", "node"]
_SUMS = [*_STATES, "late", "duration_sum", *BUCKETS]
_LATE = len(_STATES)
_SUM, _FIRST = _LATE + 1, _LATE + 2
_COLUMN = {state: number for number, state in enumerate(_STATES)}

Key = tuple[UUID, str, datetime, UUID]


class Counted(NamedTuple):
    """What of a run the statistics depend on."""

    pipeline: UUID
    node: UUID
    state: str
    scheduled_at: datetime
    started_at: datetime | None
    finished_at: datetime | None
    fires: int
    trigger: str


FIELDS = ("pipeline", "node", "state", "scheduled_at", "started_at", "finished_at", "count", "trigger")
"""Of ``Run``, in the order of ``Counted``."""


def counted(run: Run) -> Counted:
    """As it stands in the database."""
    return Counted(*(getattr(run, name) for name in FIELDS))


class _Sums:
    """The difference that goes into one row."""

    __slots__ = ("least", "most", "sums")

    def __init__(self) -> None:
        self.sums = [0] * len(_SUMS)
        self.least: int | None = None
        self.most: int | None = None

    def add(self, run: Counted, sign: int) -> None:
        self.sums[_COLUMN[run.state]] += sign * run.fires
        if is_late(run):
            self.sums[_LATE] += sign
        if (took := duration(run)) is not None:
            self.sums[_SUM] += sign * took
            self.sums[_FIRST + bisect_left(_BOUNDS, took)] += sign
            self._widen(took, took)

    def fold(self, other: "_Sums") -> None:
        self.sums = [mine + theirs for mine, theirs in zip(self.sums, other.sums, strict=True)]
        if other.least is not None and other.most is not None:
            self._widen(other.least, other.most)

    def _widen(self, least: int, most: int) -> None:
        self.least = least if self.least is None else min(self.least, least)
        self.most = most if self.most is None else max(self.most, most)


def is_late(run: Counted) -> bool:
    """Whether it began, and late; what was started by hand has no instant to be late for."""
    return run.started_at is not None and run.trigger != Run.Trigger.MANUAL and run.started_at - run.scheduled_at > LATE


def duration(run: Counted) -> int | None:
    """Milliseconds between the start and an end that the worker saw, 0 for a clock that went back; else None.

    Such an end stands (``logs.intake``): a duration that was counted is never taken back, and the least and the
    greatest stay true.
    """
    if run.state not in CONCLUDED or run.started_at is None or run.finished_at is None:
        return None
    took = (run.finished_at - run.started_at) // timedelta(milliseconds=1)
    return min(max(took, 0), LONGEST)


def move(before: Collection[Counted], after: Collection[Counted]) -> None:
    """Takes the runs ``before`` out of the statistics and those ``after`` in: within the transaction that changes
    them, with the rows ``before`` locked."""
    hours: dict[tuple[UUID, datetime, UUID], _Sums] = {}
    for sign, runs in ((-1, before), (1, after)):
        for run in runs:
            hour = run.scheduled_at.astimezone(UTC).replace(minute=0, second=0, microsecond=0)
            sums = hours.get(key := (run.pipeline, hour, run.node))
            if sums is None:
                sums = hours[key] = _Sums()
            sums.add(run, sign)
    _accumulate(_with_days(_with_all(hours)))


def _accumulate(found: Mapping[Key, _Sums]) -> None:
    """In the order of the key, which is the order of locking: writers that come together wait instead of dying. Only
    the columns that change, which are few."""
    rows = [(key, found[key]) for key in sorted(found) if any(found[key].sums)]
    places = [place for place in range(len(_SUMS)) if any(sums.sums[place] for _, sums in rows)]
    names = [_SUMS[place] for place in places]
    table = Table(Rollup, [*_KEY, *names, "duration_min", "duration_max"], _KEY)
    values = ((*key, *(sums.sums[place] for place in places), sums.least, sums.most) for key, sums in rows)
    table.accumulate(table.adapted(values), names, least="duration_min", most="duration_max")


def _with_all(hours: Mapping[tuple[UUID, datetime, UUID], _Sums]) -> dict[tuple[UUID, datetime, UUID], _Sums]:
    summed: dict[tuple[UUID, datetime, UUID], _Sums] = {}
    for (pipeline, hour, node), sums in hours.items():
        for which in {pipeline, EVERY}:
            summed.setdefault((which, hour, node), _Sums()).fold(sums)
    return summed


def _with_days(hours: Mapping[tuple[UUID, datetime, UUID], _Sums]) -> dict[Key, _Sums]:
    folded: dict[Key, _Sums] = {}
    for (pipeline, hour, node), sums in hours.items():
        folded[pipeline, Rollup.Span.HOUR.value, hour, node] = sums
        day = (pipeline, Rollup.Span.DAY.value, hour.replace(hour=0), node)
        folded.setdefault(day, _Sums()).fold(sums)
    return folded
