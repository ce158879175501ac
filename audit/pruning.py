"""Old entries of the journal go, in small batches, so that no table is held for long."""

from datetime import datetime, timedelta

from django.db import transaction

from audit.models import Entry, Part

BATCH = 1000
"""Entries deleted in one transaction."""


MOST_DAYS = 36_500
"""A hundred years: more stands for ever, as with the history."""


def prune(now: datetime, days: float, *, dry_run: bool = False) -> int:
    """Deletes entries older than so many days, with their parts; how many went, or would go. 0 days: none."""
    if not days:
        return 0
    old = Entry.objects.filter(at__lt=now - timedelta(days=min(days, MOST_DAYS))).order_by("at", "id")
    if dry_run:
        return old.count()
    gone = 0
    while batch := list(old.values_list("pk", flat=True)[:BATCH]):
        with transaction.atomic():
            Part.objects.filter(entry__in=batch).delete()
            Entry.objects.filter(pk__in=batch).delete()
        gone += len(batch)
    return gone
