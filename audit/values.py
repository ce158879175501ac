"""Rows as they stand in the database, and what differs between two of them, as JSON keeps it."""

from collections.abc import Collection, Iterable, Mapping
from datetime import date
from typing import Any
from uuid import UUID

from django.contrib.auth.models import Permission
from django.db.models import Field, ForeignKey, Model

from audit.watched import Watched
from pipelines.field_changes import patch

Row = Mapping[str, Any]
"""Values by the name of the field."""


def stored(watched: Watched, instances: Iterable[Model]) -> list[Row | None]:
    """What the database holds now of these rows; None of one that it does not hold."""
    keys = [instance._meta.pk.to_python(instance.pk) for instance in instances]
    attributes = {name: field.attname for name, field in watched.fields.items()}
    rows = watched.model._base_manager.filter(pk__in=keys).values("pk", *attributes.values())
    found = {row["pk"]: {name: row[attribute] for name, attribute in attributes.items()} for row in rows}
    return [found.get(key) for key in keys]


def held(watched: Watched, instance: Model, update_fields: Collection[str] | None = None) -> Row:
    """What the instance holds, or what of it was written by a save with these ``update_fields``, as the database has
    it."""
    fields = watched.written(update_fields)
    found = {name: getattr(instance, field.attname) for name, field in fields.items()}
    if any(hasattr(value, "resolve_expression") for value in found.values()):
        return stored(watched, [instance])[0] or {}
    return {name: fields[name].to_python(value) for name, value in found.items()}


def difference(watched: Watched, before: Row | None, after: Row | None, instance: Model) -> dict[str, Any]:
    """The fields that differ, as ``Part.fields`` has them; of a row that came or went those that are no default. The
    instance knows by name what it points at."""
    found: dict[str, Any] = {}
    for name, field in watched.fields.items():
        old, new = (_plain(row[name]) if row is not None else None for row in (before, after))
        if (before is None and new == field.get_default()) or (after is None and old == field.get_default()):
            continue
        if old == new:
            continue
        if name in watched.hidden:
            found[name] = {"hidden": [bool(old), bool(new)]}
        elif isinstance(old, str) and isinstance(new, str) and "\n" in old and "\n" in new:
            found[name] = {"lines": list(patch(old, new))}
        else:
            found[name] = [_told(field, old, instance), _told(field, new, instance)]
    return found


def names(objects: Iterable[Model]) -> list[str]:
    """Sorted, and in no language."""
    return sorted(_name(each) for each in objects)


def _name(one: Model) -> str:
    if isinstance(one, Permission):
        return f"{one.content_type.app_label}.{one.codename}"
    return str(one)


def _plain(value: Any) -> Any:
    return bytes(value) if isinstance(value, memoryview | bytes) else value


def _told(field: "Field[Any, Any]", value: Any, instance: Model) -> Any:
    """A name for a key, ISO for an instant."""
    if value is None:
        return None
    if isinstance(field, ForeignKey):
        if value == getattr(instance, field.attname):
            return str(getattr(instance, field.name))
        model: type[Model] = field.related_model  # type: ignore[assignment]
        return str(model._base_manager.filter(pk=value).first() or value)
    if isinstance(value, date):
        return value.isoformat()
    return str(value) if isinstance(value, UUID) else value
