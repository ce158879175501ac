"""Old history goes, in small batches, so that no table is held for long."""

from datetime import datetime, timedelta

from django.conf import settings
from django.db import transaction

from logs.models import Output, Run, StepRun, Stream

BATCH = 2000
"""Runs deleted in one transaction."""

STREAM_AGE = timedelta(days=30)
"""A stream that nobody wrote to for so long belongs to a worker that will not come back to it."""


def prune(now: datetime, *, dry_run: bool = False) -> int:
    """Deletes runs that ended more than ``ECTS_KEEP_DAYS`` days ago, with their steps and output; how many."""
    old = Run.objects.filter(finished_at__lt=now - timedelta(days=settings.ECTS_KEEP_DAYS))
    old |= Run.objects.filter(
        finished_at=None,
        scheduled_at__lt=now - timedelta(days=settings.ECTS_KEEP_DAYS),
        state__in=("skipped", "missed"),
    )
    if dry_run:
        return old.count()
    pruned = 0
    while batch := list(old.order_by("id").values_list("id", "uuid")[:BATCH]):
        uuids = [uuid for _, uuid in batch]
        with transaction.atomic():
            Output.objects.filter(run__in=uuids).delete()
            StepRun.objects.filter(run__in=uuids).delete()  # type: ignore[misc]  # the column is the run's uuid
            Run.objects.filter(id__in=[pk for pk, _ in batch]).delete()
        pruned += len(batch)
    Stream.objects.filter(updated_at__lt=now - STREAM_AGE).delete()
    return pruned
