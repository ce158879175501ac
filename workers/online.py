"""When nodes were online: a span is opened when a node's lease appears and closed when it ends."""

from collections.abc import Collection
from dataclasses import dataclass
from datetime import datetime, timedelta

from django.db.models import Q

from workers.models import Node, OnlineSpan

KEPT = timedelta(days=30)
"""After its end a span is kept for so long."""

SHOWN = timedelta(days=7)


def came(node: str, now: datetime) -> None:
    """It is there; nothing changes when it was."""
    OnlineSpan.objects.get_or_create(going=node, defaults={"node_id": node, "begins_at": now})


def went(nodes: Collection[str], now: datetime) -> None:
    """They are away. Nobody may have looked for a while: the end is when the node was seen last."""
    for span in OnlineSpan.objects.filter(going__in=nodes).select_related("node"):
        seen = max(span.begins_at, min(span.node.last_seen or now, now))
        OnlineSpan.objects.filter(pk=span.pk, going__isnull=False).update(going=None, ends_at=seen)


def forget(now: datetime) -> None:
    """Drops what is too old to be shown."""
    OnlineSpan.objects.filter(ends_at__lt=now - KEPT).delete()


@dataclass(frozen=True)
class Stretch:
    """A part of the time that is shown: begin and end (UTC), and where it lies from 0 to 1000."""

    begin: datetime
    end: datetime
    left: float
    width: float


@dataclass(frozen=True)
class Availability:
    """``percent`` of the time since ``begin`` (UTC), or since the node joined; None before it ever came."""

    begin: datetime
    end: datetime
    stretches: list[Stretch]
    percent: float | None


def availability(node: Node, now: datetime) -> Availability:
    """Of the last seven days."""
    begin = now - SHOWN
    spans = OnlineSpan.objects.filter(Q(ends_at__isnull=True) | Q(ends_at__gt=begin), node=node).order_by("begins_at")
    stretches = [_stretch(max(span.begins_at, begin), span.ends_at or now, begin) for span in spans]
    first = OnlineSpan.objects.filter(node=node).order_by("begins_at").values_list("begins_at", flat=True).first()
    since = max(begin, first) if first else now
    there = sum(((each.end - each.begin) for each in stretches), timedelta())
    percent = 100 * there / (now - since) if now > since else None
    return Availability(begin, now, stretches, percent)


def _stretch(begin: datetime, end: datetime, since: datetime) -> Stretch:
    return Stretch(begin, end, round(1000 * (begin - since) / SHOWN, 2), max(round(1000 * (end - begin) / SHOWN, 2), 1))
