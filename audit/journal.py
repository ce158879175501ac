"""Writes the journal: one entry for each object of an act, to which what else of the object changes is added."""

from collections.abc import Sequence
from typing import Any

from django.db import transaction
from django.db.models import Model

from audit.acting import Actor, actor
from audit.models import Entry, Part

NAME = Entry._meta.get_field("name").max_length or 0


def part(
    model: type[Model], fields: dict[str, Any], *, key: Any = "", title: str = "", what: str = Entry.What.CHANGED
) -> Part:
    """To be handed to ``write``."""
    return Part(model=model._meta.label_lower, key=str(key), title=title[:NAME], what=what, fields=fields)


@transaction.atomic(savepoint=False)
def write(
    model: type[Model], key: Any, name: str, what: str, parts: Sequence[Part] = (), by: Actor | None = None
) -> None:
    """In the transaction of the change. What is changed of an object that was added or changed in the same act
    belongs to that entry."""
    who = by or actor()
    kind = model._meta.label_lower
    entry = None
    if what == Entry.What.CHANGED:
        same = Entry.objects.filter(act=who.act, kind=kind, object=str(key))
        entry = same.filter(what__in=(Entry.What.ADDED, Entry.What.CHANGED)).order_by("-pk").first()
    if entry is None:
        entry = Entry.objects.create(
            act=who.act, user=who.user, by=who.by[:150], via=who.via, origin=who.origin, kind=kind, object=str(key),
            name=name[:NAME], what=what,
        )  # fmt: skip
    for each in parts:
        each.entry = entry
    Part.objects.bulk_create(parts)
