"""Pages of the journal, newest first, found by the key at their edge and never by counting.

Every combination of filters is read along an index in the order of the keys: where several kinds are wanted, the
newest of each kind and each what are taken (a few dozen short reads in one query) and put together. So the thousandth
page costs as much as the first, and a rare thing is found as quickly as a frequent one.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

from django.db import connection
from django.db.models import BigIntegerField, QuerySet

from audit.models import Entry
from audit.watched import KINDS

SLACK = timedelta(minutes=10)
"""By how much the order of keys and that of instants may differ: the clocks of the consoles, and long transactions."""

NAMED = 200
"""Entries looked at to learn which objects have a name."""


@dataclass(frozen=True)
class Wanted:
    """``kinds``: those the viewer may see, or the one that was chosen. ``objects`` (kind, key); None for any."""

    kinds: Sequence[str]
    what: str = ""
    by: str = ""
    objects: Sequence[tuple[str, str]] | None = None
    begins: datetime | None = None
    ends: datetime | None = None
    act: UUID | None = None


@dataclass(frozen=True)
class Page:
    """``newer`` and ``older``: the key behind which the next page in that direction begins; None at the end."""

    entries: list[Entry] = field(default_factory=list)
    newer: int | None = None
    older: int | None = None


def page(wanted: Wanted, size: int, *, before: int | None = None, after: int | None = None) -> Page:
    """The newest, those older than the key ``before``, or the oldest that are newer than the key ``after``."""
    is_back = after is not None
    edges = _edges(wanted, before, after)
    keys = _first([branch.filter(**edges) for branch in _branches(wanted)], size + 1, is_back)
    has_more = len(keys) > size
    shown = sorted(keys[:size], reverse=True)
    entries = Entry.objects.filter(pk__in=shown).order_by("-pk").prefetch_related("parts") if shown else []
    has_newer = has_more if is_back else before is not None
    has_older = is_back or has_more
    return Page(
        list(entries),
        newer=shown[0] if shown and has_newer else None,
        older=shown[-1] if shown and has_older else None,
    )


def named(kinds: Sequence[str], name: str) -> list[tuple[str, str]]:
    """The objects of these kinds that have, or had, the name: (kind, key)."""
    rows = Entry.objects.filter(name=name).order_by("-pk").values_list("kind", "object")[:NAMED]
    return sorted({(kind, key) for kind, key in rows if kind in kinds and key})


def _branches(wanted: Wanted) -> list[QuerySet[Entry]]:
    rows = Entry.objects.all()
    mine = {"by": wanted.by} if wanted.by else {}
    done = {"what": wanted.what} if wanted.what else {}
    if wanted.act is not None:
        return [rows.filter(act=wanted.act, kind__in=wanted.kinds, **mine, **done)]
    if wanted.objects is not None:
        return [rows.filter(kind=kind, object=key, **mine, **done) for kind, key in wanted.objects]
    if not mine and not done and len(wanted.kinds) == len(KINDS):
        return [rows]
    pairs = ((kind, what) for kind in wanted.kinds for what in KINDS[kind][1] if wanted.what in ("", what))
    return [rows.filter(kind=kind, what=what, **mine) for kind, what in pairs]


def _edges(wanted: Wanted, before: int | None, after: int | None) -> dict[str, Any]:
    """Conditions on the keys and instants. Of a day the keys lie together, so that the rest is not read."""
    found: dict[str, Any] = {}
    lows, highs = [after], [before]
    keys = Entry.objects.values_list("pk", flat=True)
    if wanted.begins is not None:
        found["at__gte"] = wanted.begins
        lows.append(keys.filter(at__lt=wanted.begins - SLACK).order_by("-at", "-pk").first() or 0)
    if wanted.ends is not None:
        found["at__lt"] = wanted.ends
        highs.append(
            keys.filter(at__gte=wanted.ends + SLACK).order_by("at", "pk").first() or BigIntegerField.MAX_BIGINT
        )
    if low := [key for key in lows if key is not None]:
        found["pk__gt"] = max(low)
    if high := [key for key in highs if key is not None]:
        found["pk__lt"] = min(high)
    return found


def _first(branches: Sequence[QuerySet[Entry]], number: int, is_back: bool) -> list[int]:
    """The first keys of all branches together. Written by hand: Django has no limit for each part of a union on
    SQLite."""
    if not branches:
        return []
    statements: list[str] = []
    values: list[Any] = []
    for branch in branches:
        ordered = branch.order_by("pk" if is_back else "-pk").values_list("pk", flat=True)[:number]
        statement, given = ordered.query.sql_with_params()
        statements.append(f"SELECT * FROM ({statement}) AS newest")  # noqa: S608 - what Django made
        values += given
    with connection.cursor() as cursor:
        cursor.execute(" UNION ALL ".join(statements), values)
        found = sorted((key for (key,) in cursor.fetchall()), reverse=not is_back)
    return found[:number]
