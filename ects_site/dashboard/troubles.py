"""What goes on and what went wrong: the newest rows by state."""

from collections import Counter
from datetime import datetime, timedelta
from typing import Any

from logs.models import Run
from logs.newest import newest_runs

BAD = ("failed", "timed_out", "lost")
NEWEST = 500
"""Rows of each such state that are looked at."""

SHOWN = 6
MANY = 1000
"""Runs that are going are counted up to here."""


def running() -> dict[str, Any]:
    """How many are going, and the newest of them."""
    going = Run.objects.filter(state=Run.State.RUNNING)
    return {"count": going.order_by()[: MANY + 1].count(), "many": MANY, "runs": list(going.order_by("-pk")[:SHOWN])}


def troubles(now: datetime) -> dict[str, Any]:
    """The latest failures of the last 24 hours, and the pipelines that have the most among the newest ones."""
    since = now - timedelta(hours=24)
    found = [run for state in BAD for run in Run.objects.filter(state=state).order_by("-pk")[:NEWEST]]
    recent = sorted((run for run in found if run.scheduled_at >= since), key=lambda run: run.pk, reverse=True)
    names = {run.pipeline: run.pipeline_name for run in reversed(recent)}
    most = Counter(run.pipeline for run in recent).most_common(SHOWN)
    newest = newest_runs(pipeline for pipeline, _count in most)
    lines = [
        {"pipeline": pipeline, "name": names[pipeline], "count": count, "runs": newest.get(pipeline, [])}
        for pipeline, count in most
    ]
    return {"failing": lines, "latest": recent[:SHOWN]}
