"""Old history goes: by age, by count and by bytes of output, for each pipeline. In small batches, so that no table is
held for long. Running runs stay, and so do the statistics."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import NamedTuple
from uuid import UUID

from django.conf import settings
from django.db.models import Count, Exists, F, Max, OuterRef, Q, QuerySet, Sum

from logs.collisions import transact
from logs.models import Output, Retention, Rollup, Run, StepRun, Stream

BATCH = 2000
"""Rows deleted in one transaction, or looked at in one query."""

STREAM_AGE = timedelta(days=30)
"""A stream that nobody wrote to for so long, and that has a successor, is one its worker will not come back to."""

HOURS_AGE = timedelta(days=400)
"""Older than this, statistics are kept by day only."""

ENDED = ~Q(state=Run.State.RUNNING)


class Limits(NamedTuple):
    """What is kept of a pipeline; 0 for no limit."""

    days: float
    runs: int
    output_bytes: int


@dataclass
class Share:
    """What goes of one pipeline: rows of ``Run``, and from how many further runs how many bytes of output."""

    pipeline: UUID
    name: str = ""
    runs: int = 0
    relieved: int = 0
    output_bytes: int = 0


def prune(now: datetime, *, dry_run: bool = False) -> list[Share]:
    """Deletes what is beyond the limits (``ECTS_KEEP_DAYS``, ``ECTS_KEEP_RUNS``, ``ECTS_KEEP_OUTPUT_BYTES``, or the
    pipeline's own ``Retention``), with what belongs to it. What went of each pipeline, or would go, by name."""
    common = Limits(settings.ECTS_KEEP_DAYS, settings.ECTS_KEEP_RUNS, settings.ECTS_KEEP_OUTPUT_BYTES)
    own = {row.pipeline: _limits(row, common) for row in Retention.objects.all()}
    limited = dict(own)
    if common.runs or common.output_bytes:
        limited = {pipeline: own.get(pipeline, common) for pipeline in _pipelines()}
    shares = [_Pruning(pipeline, limits, now, dry_run).share() for pipeline, limits in limited.items()]
    shares += _aged(list(limited), common, now, dry_run)
    if not dry_run:
        _forget_streams(now)
        Rollup.objects.filter(span=Rollup.Span.HOUR, begins_at__lt=now - HOURS_AGE).delete()
    return sorted((share for share in shares if share.runs or share.relieved), key=lambda share: share.name)


def _forget_streams(now: datetime) -> None:
    """The newest of a node and kind stays: its worker may have had nothing to say for months."""
    successors = Stream.objects.filter(
        node=OuterRef("node"), kind=OuterRef("kind"), updated_at__gt=OuterRef("updated_at")
    )
    silent = Stream.objects.filter(Exists(successors), updated_at__lt=now - STREAM_AGE)
    Stream.objects.filter(pk__in=list(silent.values_list("pk", flat=True)[:BATCH])).delete()


def _limits(row: Retention, common: Limits) -> Limits:
    """The row's own where it has them."""
    return Limits(
        common.days if row.days is None else row.days,
        common.runs if row.runs is None else row.runs,
        common.output_bytes if row.output_bytes is None else row.output_bytes,
    )


def _pipelines() -> Iterator[UUID]:
    """Those that have runs: a step through the index for each, never a scan."""
    runs = Run.objects.order_by("pipeline")
    found = runs.values_list("pipeline", flat=True).first()
    while found is not None:
        yield found
        found = runs.filter(pipeline__gt=found).values_list("pipeline", flat=True).first()


def _aged(others: Sequence[UUID], limits: Limits, now: datetime, dry_run: bool) -> list[Share]:
    """The runs of all pipelines but these that are too old, found by the index of their end."""
    if not limits.days:
        return []
    cutoff = _cutoff(limits, now)
    shares: dict[UUID, Share] = {}
    for condition, order in (
        (Q(finished_at__lt=cutoff), "finished_at"),
        (Q(finished_at=None, scheduled_at__lt=cutoff), "scheduled_at"),
    ):
        old = Run.objects.filter(condition, ENDED).exclude(pipeline__in=others).order_by(order)
        for pipeline, name, number in _counted(old) if dry_run else _deleted(old):
            shares.setdefault(pipeline, Share(pipeline, name)).runs += number
    return list(shares.values())


def _counted(runs: QuerySet[Run]) -> Iterator[tuple[UUID, str, int]]:
    groups = runs.order_by("pipeline").values_list("pipeline")
    yield from groups.annotate(Max("pipeline_name"), Count("pk"))


def _deleted(runs: QuerySet[Run]) -> Iterator[tuple[UUID, str, int]]:
    """Deletes as it goes."""
    while batch := list(runs.values_list("pk", "uuid", "pipeline", "pipeline_name")[:BATCH]):
        if not _delete([(pk, uuid) for pk, uuid, _, _ in batch]):
            return
        yield from ((pipeline, name, 1) for _, _, pipeline, name in batch)


class _Pruning:
    """One pipeline whose runs or output are counted, or that has an age of its own. Walks its runs by primary key."""

    def __init__(self, pipeline: UUID, limits: Limits, now: datetime, dry_run: bool) -> None:
        self._limits = limits
        self._now = now
        self._dry_run = dry_run
        self._runs = Run.objects.filter(pipeline=pipeline)
        self._share = Share(pipeline, _name(pipeline))

    def share(self) -> Share:
        """Does it."""
        surplus = self._surplus()
        condition = Q(pk__lte=surplus, provisional=False)
        if self._limits.days:
            cutoff = _cutoff(self._limits, self._now)
            condition |= Q(finished_at__lt=cutoff) | Q(finished_at=None, scheduled_at__lt=cutoff)
        gone = self._delete_runs(ENDED & condition, surplus)
        if self._limits.output_bytes:
            self._delete_output(gone)
        return self._share

    def _surplus(self) -> int:
        """The newest primary key that is one too many; 0 for none.

        Those below it that are provisional stay: their worker has not spoken yet.
        """
        if not self._limits.runs:
            return 0
        newest = self._runs.order_by("-pk").values_list("pk", flat=True)
        return next(iter(newest[self._limits.runs : self._limits.runs + 1]), 0)

    def _delete_runs(self, condition: Q, surplus: int) -> set[int]:
        """The primary keys. From the oldest on, until there is a stretch with nothing to delete: rows are nearly in
        the order of time, and what came far out of order goes when its neighbours do."""
        gone: set[int] = set()
        for stretch in _stretches(self._runs):
            first, last = stretch[0], stretch[-1]
            rows = self._runs.filter(condition, pk__gte=first, pk__lte=last)
            batch = list(rows.order_by("pk").values_list("pk", "uuid"))
            if not batch and last > surplus:
                break
            self._share.runs += len(batch) if self._dry_run else _delete(batch)
            gone.update(pk for pk, _ in batch)
        return gone

    def _delete_output(self, gone: set[int]) -> None:
        """From the newest run on, what is beyond the limit; the steps say that it was dropped."""
        left = self._limits.output_bytes
        for stretch in _stretches(self._runs, newest_first=True):
            for pk, uuid, state, held in self._holding(stretch):
                left -= 0 if pk in gone else held
                if left < 0 and pk not in gone and state != Run.State.RUNNING:
                    self._share.relieved += 1
                    self._share.output_bytes += held
                    if not self._dry_run:
                        _relieve(uuid)

    def _holding(self, stretch: Sequence[int]) -> Iterator[tuple[int, UUID, str, int]]:
        """Those runs of a stretch that have output, newest first, with its bytes."""
        held = Sum(F("steps__output_bytes") - F("steps__output_dropped"))
        runs = self._runs.filter(pk__gte=stretch[-1], pk__lte=stretch[0]).annotate(held=held).filter(held__gt=0)
        for pk, uuid, state, number in runs.order_by("-pk").values_list("pk", "uuid", "state", "held"):
            yield pk, uuid, state, int(number)


def _stretches(runs: QuerySet[Run], *, newest_first: bool = False) -> Iterator[list[int]]:
    """Primary keys in order, so many at a time; rows that are deleted meanwhile do no harm."""
    keys = runs.order_by("-pk" if newest_first else "pk").values_list("pk", flat=True)
    stretch = list(keys[:BATCH])
    while stretch:
        yield stretch
        beyond = Q(pk__lt=stretch[-1]) if newest_first else Q(pk__gt=stretch[-1])
        stretch = list(keys.filter(beyond)[:BATCH])


def _cutoff(limits: Limits, now: datetime) -> datetime:
    return now - timedelta(days=min(limits.days, Retention.MOST_DAYS))


def _name(pipeline: UUID) -> str:
    """As its newest run has it."""
    return Run.objects.filter(pipeline=pipeline).order_by("-pk").values_list("pipeline_name", flat=True).first() or ""


def _delete(batch: Sequence[tuple[int, UUID]]) -> int:
    """Output first and by itself, for one run may have much of it; what is interrupted is finished the next time."""
    uuids = [uuid for _, uuid in batch]
    _delete_pieces(uuids)

    def delete() -> int:
        rows = Run.objects.filter(ENDED, pk__in=[pk for pk, _ in batch])
        still = list(rows.select_for_update().values_list("pk", "uuid"))
        StepRun.objects.filter(run__uuid__in=[uuid for _, uuid in still]).delete()
        Run.objects.filter(pk__in=[pk for pk, _ in still]).delete()
        return len(still)

    return transact(delete) if batch else 0


def _delete_pieces(runs: Sequence[UUID]) -> None:
    pieces = Output.objects.filter(run__in=runs).values_list("pk", flat=True)
    while keys := list(pieces[:BATCH]):
        Output.objects.filter(pk__in=keys).delete()


def _relieve(run: UUID) -> None:
    _delete_pieces([run])
    StepRun.objects.filter(run__uuid=run).update(output_dropped=F("output_bytes"))
