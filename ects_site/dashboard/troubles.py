"""What goes on and what went wrong: statistics say which pipelines fail, the newest rows by state show the rest."""

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

from django.db.models import Q, Sum

from logs.models import Rollup, Run
from logs.newest import newest_runs
from logs.rollups import EVERY
from pipelines.models import Pipeline

BAD = ("failed", "timed_out", "lost")
"""Not what somebody killed: that was wanted."""

ENDED = ("succeeded", "killed", *BAD)
SHOWN = 6
LIKELY = 24
"""Pipelines whose hours are read: those that failed most today and yesterday (UTC). There are many hours, and few
days."""

MANY = 1000
"""Runs that are going are counted up to here."""


@dataclass(frozen=True)
class Failing:
    """A pipeline that failed ``bad`` times out of ``ended``, and its newest runs, oldest first."""

    pipeline: UUID
    name: str
    bad: int
    ended: int
    runs: list[Run]


def running() -> dict[str, Any]:
    """How many are going, and the newest of them."""
    going = Run.objects.filter(state=Run.State.RUNNING)
    return {"count": going.order_by()[: MANY + 1].count(), "many": MANY, "runs": list(going.order_by("-pk")[:SHOWN])}


def latest_failures(now: datetime) -> list[Run]:
    """Of the last 24 hours, the newest first."""
    found = [run for state in BAD for run in Run.objects.filter(state=state).order_by("-pk")[:SHOWN]]
    recent = [run for run in found if run.scheduled_at >= now - timedelta(hours=24)]
    return sorted(recent, key=lambda run: run.pk, reverse=True)[:SHOWN]


def most_failing(begin: datetime) -> list[Failing]:
    """Since ``begin``, an hour's: those with the most failures first."""
    likely = _by_pipeline(Rollup.Span.DAY, begin.astimezone(UTC).replace(hour=0), ~Q(pipeline=EVERY))
    hours = Q(pipeline__in=[row["pipeline"] for row in likely])
    rows = _by_pipeline(Rollup.Span.HOUR, begin, hours)[:SHOWN] if likely else []
    wanted = [row["pipeline"] for row in rows]
    newest = newest_runs(wanted)
    names = dict(Pipeline.objects.filter(pk__in=wanted).values_list("pk", "name"))
    return [
        Failing(
            row["pipeline"],
            names.get(row["pipeline"]) or _name_of_deleted(newest.get(row["pipeline"], []), row["pipeline"]),
            sum(row[f"{state}_sum"] for state in BAD),
            sum(row[f"{state}_sum"] for state in ENDED),
            newest.get(row["pipeline"], []),
        )
        for row in rows
    ]


def _by_pipeline(span: str, begin: datetime, which: Q) -> list[dict[str, Any]]:
    """Sums of the pipelines that failed at all, from the one that failed most."""
    rows = Rollup.objects.filter(which, span=span, begins_at__gte=begin).values("pipeline")
    summed = rows.annotate(**{f"{state}_sum": Sum(state) for state in ENDED})
    bad = sum((Sum(state) for state in BAD[1:]), start=Sum(BAD[0]))
    failing = summed.annotate(bad=bad).filter(bad__gt=0).order_by("-bad", "pipeline")
    return [dict(row) for row in failing[:LIKELY]]


def _name_of_deleted(runs: list[Run], pipeline: UUID) -> str:
    return runs[-1].pipeline_name if runs else str(pipeline)
