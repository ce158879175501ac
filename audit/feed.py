"""Entries as the page and the API show them: who, what, where it leads, and what changed in words."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date
from typing import Any

from django.utils.timezone import localtime
from django.utils.translation import gettext as _

from audit import reading, sight
from audit.acting import HOST, SYSTEM
from audit.models import Entry
from pipelines.field_changes import Group


@dataclass(frozen=True)
class Told:
    """One entry. ``url`` is empty for an object that is gone."""

    entry: Entry
    who: str
    kind: str
    url: str
    groups: list[Group]

    @property
    def is_silent(self) -> bool:
        """Saved again without a change."""
        return not self.groups and self.entry.what == Entry.What.CHANGED


def told(entries: Sequence[Entry]) -> list[Told]:
    """In the same order. Their parts should have been read with them."""
    addresses = sight.addresses(entries)
    return [
        Told(
            entry,
            who(entry.by, entry.via),
            sight.kind_name(entry.kind),
            addresses.get((entry.kind, entry.object), ""),
            reading.groups(entry.parts.all(), entry.kind),
        )
        for entry in entries
    ]


def by_day(entries: Sequence[Told]) -> list[tuple[date, list[Told]]]:
    """The days of the viewer's zone, in the order of the entries."""
    found: list[tuple[date, list[Told]]] = []
    for each in entries:
        day = localtime(each.entry.at).date()
        if not found or found[-1][0] != day:
            found.append((day, []))
        found[-1][1].append(each)
    return found


def who(by: str, via: Any) -> str:
    """A name to show."""
    if via == Entry.Via.SYSTEM:
        return _("The system")
    if by == HOST and via == Entry.Via.API:
        return _("A host that joins")
    return by or _("Nobody")


def unnamed() -> list[tuple[str, str]]:
    """What can be asked for in the place of a person, with its words."""
    return [(SYSTEM, _("The system")), (HOST, _("A host that joins"))]
