"""Nodes by hours: how much each ran, and where it failed."""

from datetime import datetime
from typing import Any
from uuid import UUID

from django.utils.formats import date_format
from django.utils.timezone import localtime
from django.utils.translation import gettext as _

from ects_site.dashboard.day import BAD, ENDED, Day, Sums
from workers.models import Node

MOST = 40
"""Nodes shown: first those that are away, then by name."""

LEVELS = 4
SHARES = {"few": 5, "some": 25, "many": 60, "most": 100}
"""Percent that this share of failures is at the most."""


def heat_map(day: Day) -> dict[str, Any]:
    """Its hours and its rows; no rows without a worker."""
    nodes = Node.objects.serving().order_by("online", "name")[: MOST + 1]
    shown = sorted(list(nodes)[:MOST], key=lambda node: node.name)
    top = max((_ended(sums) for hours in day.nodes.values() for sums in hours.values()), default=0)
    rows = [{"node": node, "cells": _cells(day, node.pk, top), "used": _used(node)} for node in shown]
    hours = [date_format(localtime(begin), "H") for begin in day.hours]
    return {"hours": hours, "rows": rows, "more": len(nodes) > MOST}


def _cells(day: Day, node: UUID, top: int) -> list[dict[str, str]]:
    found = day.nodes.get(node, {})
    return [_cell(begin, found.get(begin, {}), top) for begin in day.hours]


def _cell(begin: datetime, sums: Sums, top: int) -> dict[str, str]:
    """The shade is how much ran beside the fullest cell, the red part of it how much of that went wrong."""
    ended, bad = _ended(sums), sum(sums.get(state, 0) for state in BAD)
    words = {"begin": date_format(localtime(begin), "H:i"), "runs": ended, "failed": bad}
    level = str(min(LEVELS, 1 + LEVELS * ended // (top + 1))) if ended else "0"
    if not bad:
        return {"level": level, "title": _("%(begin)s: %(runs)d runs") % words}
    share = next(share for share, most in SHARES.items() if 100 * bad <= most * ended)
    level += f" ects-cell-{share}"
    return {"level": level, "title": _("%(begin)s: %(runs)d runs, %(failed)d of them not well") % words}


def _ended(sums: Sums) -> int:
    return sum(sums.get(state, 0) for state in ENDED)


def _used(node: Node) -> int:
    """Percent of the capacity in use."""
    return min(100 * node.running // node.capacity, 100) if node.capacity else 0
