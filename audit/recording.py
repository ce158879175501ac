"""Receivers that write down what changes: saves, deletions, bulk writes, and lists of objects."""

from collections.abc import Iterable, Sequence
from typing import Any

from django.db.models import Model
from django.db.models.signals import m2m_changed, post_save, pre_delete, pre_save

from audit import values
from audit.journal import part, write
from audit.models import Entry, Part
from audit.values import Row
from audit.watched import LISTS, PARTS, WATCHED, Watched
from tasks.definitions import definitions_changed

BEFORE = "_audit_before"
"""Where a row as it was waits on its instance for the end of the save."""


def connect() -> None:
    """From now on nothing that is watched changes without an entry."""
    for model in WATCHED:
        pre_save.connect(remember, sender=model)
        post_save.connect(record_save, sender=model)
        pre_delete.connect(record_deletion, sender=model)
        definitions_changed.connect(record_bulk, sender=model)
    for table in LISTS:
        m2m_changed.connect(record_list, sender=table)


def remember(sender: type[Model], instance: Any, update_fields: Any, **kwargs: Any) -> None:
    """The row as it is before the save; nothing when the save is not about what is told."""
    watched = WATCHED[sender]
    if watched.written(update_fields):
        [instance.__dict__[BEFORE]] = values.stored(watched, [instance]) if instance.pk else [None]


def record_save(sender: type[Model], instance: Any, update_fields: Any, **kwargs: Any) -> None:
    """One row that came or changed."""
    if BEFORE in instance.__dict__:
        before = instance.__dict__.pop(BEFORE)
        after = {**(before or {}), **values.held(WATCHED[sender], instance, update_fields)}
        _record(WATCHED[sender], [(instance, before, after)])


def record_bulk(sender: type[Model], instances: Sequence[Any], are_new: bool, **kwargs: Any) -> None:
    """Rows that were written by one statement. Of new ones not every database tells the keys."""
    watched = WATCHED[sender]
    if are_new:
        _record(watched, [(instance, None, values.held(watched, instance)) for instance in instances])
    else:
        now = sender._base_manager.in_bulk([instance.pk for instance in instances])
        pairs = [(before, now[before.pk]) for before in instances if before.pk in now]
        _record(
            watched, [(after, values.held(watched, before), values.held(watched, after)) for before, after in pairs]
        )


def record_deletion(sender: type[Model], instance: Any, origin: Any, **kwargs: Any) -> None:
    """An object with all that was in it; or a part alone, while its owner stays."""
    watched = WATCHED[sender]
    gone = _part(watched, instance, values.held(watched, instance), None)
    whole = origin.model if hasattr(origin, "model") else type(origin)
    if not watched.owner:
        parts = [gone, *_lists(watched, instance), *_parts(instance)]
        write(sender, instance.pk, str(instance), Entry.What.DELETED, parts)
    elif whole is not sender._meta.get_field(watched.owner).related_model:
        owner = getattr(instance, watched.owner)
        write(type(owner), owner.pk, str(owner), Entry.What.CHANGED, [gone])


def record_list(sender: type[Model], instance: Any, action: str, pk_set: Any, **kwargs: Any) -> None:
    """Objects that were put into a list or taken out, from either side."""
    watched, name = LISTS[sender]
    field: Any = watched.model._meta.get_field(name)
    is_owner = isinstance(instance, watched.model)
    if action == "pre_clear":
        attribute = name if is_owner else field.remote_field.get_accessor_name()
        pk_set = set(getattr(instance, attribute).values_list("pk", flat=True))
    if action not in ("post_add", "post_remove", "pre_clear") or not pk_set:
        return
    sign = "more" if action == "post_add" else "less"
    owners = [instance] if is_owner else watched.model._base_manager.filter(pk__in=pk_set)
    others = field.related_model._base_manager.filter(pk__in=pk_set) if is_owner else [instance]
    told = {name: {sign: values.names(others)}}
    for owner in owners:
        changed = part(watched.model, told, key=owner.pk, title=str(owner))
        write(watched.model, owner.pk, str(owner), Entry.What.CHANGED, [changed])


def _record(watched: Watched, rows: Iterable[tuple[Any, Row | None, Row]]) -> None:
    """Rows as (instance, before, after): those of one object become one entry."""
    owners: dict[Any, tuple[Any, list[Part]]] = {}
    for instance, before, after in rows:
        changed = _part(watched, instance, before, after)
        if changed.fields:
            owner = getattr(instance, watched.owner) if watched.owner else instance
            owners.setdefault(owner.pk, (owner, []))[1].append(changed)
    for owner, parts in owners.values():
        what = Entry.What.CHANGED if watched.owner else parts[0].what
        write(type(owner), owner.pk, str(owner), what, parts)


def _part(watched: Watched, instance: Any, before: Row | None, after: Row | None) -> Part:
    what = Entry.What.ADDED if before is None else Entry.What.DELETED if after is None else Entry.What.CHANGED
    fields = values.difference(watched, before, after, instance)
    return part(watched.model, fields, key=instance.pk, title=watched.title(instance), what=what)


def _lists(watched: Watched, instance: Any) -> list[Part]:
    found = {name: values.names(getattr(instance, name).all()) for name in watched.lists}
    told = {name: {"less": members} for name, members in found.items() if members}
    return [part(watched.model, told, key=instance.pk, what=Entry.What.DELETED)] if told else []


def _parts(instance: Any) -> list[Part]:
    found = []
    for each in PARTS:
        if isinstance(instance, each.model._meta.get_field(each.owner).related_model):  # type: ignore[arg-type]
            members = list(each.model._base_manager.filter(**{each.owner: instance}).order_by("pk"))
            found += [_part(each, member, values.held(each, member), None) for member in members]
    return found
