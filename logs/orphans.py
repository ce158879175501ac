"""Steps and output without a run: it was deleted, or its record was lost."""

from datetime import datetime, timedelta
from typing import Any

from django.db.models import Exists, OuterRef

from logs.models import Output, Run, StepRun

STRETCH = 2000
"""Rows looked at in one query, and deleted in one at the most."""

PATIENCE = timedelta(days=1)
"""A run may come later than its steps and output: within seconds, unless the console cannot be reached in between."""


def prune(now: datetime, *, dry_run: bool = False) -> int:
    """Deletes them once they are older than the patience; how many rows there were."""
    outputs = Output.objects.exclude(Exists(Run.objects.filter(uuid=OuterRef("run"))))
    steps = StepRun.objects.exclude(Exists(Run.objects.filter(uuid=OuterRef("run_id"))))
    return sum(_sweep(orphans.filter(received_at__lt=now - PATIENCE), dry_run) for orphans in (outputs, steps))


def _sweep(orphans: Any, dry_run: bool) -> int:
    table, found = orphans.model.objects.order_by("pk").values_list("pk", flat=True), 0
    keys = list(table[:STRETCH])
    while keys:
        stretch = orphans.filter(pk__gte=keys[0], pk__lte=keys[-1])
        gone = list(stretch.order_by("pk").values_list("pk", flat=True))
        if gone and not dry_run:
            orphans.model.objects.filter(pk__in=gone).delete()
        found += len(gone)
        keys = list(table.filter(pk__gt=keys[-1])[:STRETCH])
    return found
