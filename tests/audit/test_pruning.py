"""Old entries of the audit go with their parts, the others stay."""

from datetime import timedelta
from io import StringIO
from typing import Any

import pytest
from django.core.management import call_command
from django.utils import timezone

from audit import pruning
from audit.models import Entry, Part
from tests.pipelines import makers

pytestmark = pytest.mark.django_db


@pytest.fixture
def aged() -> list[str]:
    """The names of entries that are 0, 10, 20, 30 and 40 days old, each with a part."""
    names = [f"task-{number}" for number in range(5)]
    for number, name in enumerate(names):
        makers.task(name)
        Entry.objects.filter(name=name).update(at=timezone.now() - timedelta(days=10 * number))
    assert Part.objects.count() == Entry.objects.count() == len(names)
    return names


def left() -> list[str]:
    return list(Entry.objects.order_by("pk").values_list("name", flat=True))


@pytest.mark.parametrize("batch", [1, 2, 1000])
def test_what_is_older_goes(aged: list[str], batch: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pruning, "BATCH", batch)
    assert pruning.prune(timezone.now(), 15, dry_run=True) == 3
    assert left() == aged
    assert pruning.prune(timezone.now(), 15) == 3
    assert left() == aged[:2]
    assert Part.objects.count() == 2
    assert pruning.prune(timezone.now(), 15) == 0


def test_without_a_limit_nothing_goes(aged: list[str]) -> None:
    assert pruning.prune(timezone.now() + timedelta(days=9999), 0) == 0
    assert left() == aged


def test_a_limit_beyond_the_calendar_is_none(aged: list[str]) -> None:
    assert pruning.prune(timezone.now(), 1_000_000) == 0
    assert left() == aged


def test_the_command_says_how_many(aged: list[str], settings: Any) -> None:
    settings.ECTS_KEEP_AUDIT_DAYS = 35
    said = [StringIO(), StringIO()]
    call_command("pruneaudit", "--dry-run", stdout=said[0])
    call_command("pruneaudit", stdout=said[1])
    assert [text.getvalue() for text in said] == ["1 entries would be deleted\n", "1 entries were deleted\n"]
    assert left() == aged[:4]
