"""What the journal says, as short lines."""

from audit import feed
from audit.models import Entry
from pipelines.field_changes import Change, Group


def entries(**wanted: str) -> list[Entry]:
    """Oldest first, with their parts."""
    return list(Entry.objects.filter(**wanted).order_by("pk").prefetch_related("parts"))


def last(**wanted: str) -> Entry:
    """The newest of them."""
    return entries(**wanted)[-1]


def lines(entry: Entry) -> list[str]:
    """``part: field: before → after``; a part that came or went with its sign; of a text the lines that differ."""
    [told] = feed.told([entry])
    return [line for group in told.groups for line in _group(group)]


def _group(group: Group) -> list[str]:
    sign = {"added": "+ ", "removed": "- ", "changed": ""}[group.kind]
    head = f"{sign}{group.title}: " if group.title else sign
    return [head + _change(change) for change in group.changes] or [head]


def _change(change: Change) -> str:
    if change.lines:
        return f"{change.label}: " + " | ".join(f"{sign}{text}" for sign, text in change.lines if sign != " ")
    return f"{change.label}: {change.before} → {change.after}"
