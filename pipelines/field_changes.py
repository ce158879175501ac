"""What became of fields, in the words of the forms."""

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime
from difflib import unified_diff
from typing import Any

from django.db.models import DateTimeField, Model
from django.utils.text import capfirst
from django.utils.timezone import localtime
from django.utils.translation import gettext as _

CONTEXT = 3
"""Equal lines shown around a change of a text."""


@dataclass(frozen=True)
class Change:
    """One field. ``lines``, of longer texts, are (sign, text) as in a patch."""

    label: str
    before: str = ""
    after: str = ""
    lines: tuple[tuple[str, str], ...] = ()


@dataclass(frozen=True)
class Group:
    """An object, or a part of it. ``kind``: changed, added or removed."""

    title: str
    kind: str
    changes: tuple[Change, ...] = ()


def change(model: type[Model], name: str, old: Any, new: Any) -> Change | None:
    """None when both say the same. Values are plain JSON."""
    before, after = (_text(model, name, value) for value in (old, new))
    if before == after:
        return None
    if "\n" in before or "\n" in after:
        return Change(label(model, name), lines=tuple(patch(before, after)))
    return Change(label(model, name), before, after)


def label(model: type[Model], name: str) -> str:
    """What the form calls the field."""
    field = _field(model, name)
    return str(capfirst(field.verbose_name if field is not None else name.replace("_", " ")))


def patch(old: str, new: str) -> Iterator[tuple[str, str]]:
    """The lines that differ and some around them, without the numbers of lines."""
    lines = list(unified_diff(old.splitlines(), new.splitlines(), lineterm="", n=CONTEXT))
    for line in lines[3:]:
        yield (" ", "⋯") if line.startswith("@@") else (line[0], line[1:])


def _text(model: type[Model], name: str, value: Any) -> str:
    """The words of a choice, ``name=value`` lines, instants in the viewer's zone. What is left out is the default."""
    if value in (None, "", [], {}):
        return ""
    if isinstance(value, dict):
        return "\n".join(f"{key}={one}" for key, one in value.items())
    if isinstance(value, list):
        return "\n".join(", ".join(map(str, one.values())) if isinstance(one, dict) else str(one) for one in value)
    if isinstance(value, bool):
        return _("yes") if value else _("no")
    if isinstance(value, float) and value.is_integer():
        return str(int(value))
    field = _field(model, name)
    if isinstance(field, DateTimeField):
        return f"{localtime(datetime.fromisoformat(value)):%Y-%m-%d %H:%M:%S}"
    return str(dict(getattr(field, "flatchoices", ()) or ()).get(value, value))


def _field(model: type[Model], name: str) -> Any:
    fields = (*model._meta.fields, *model._meta.many_to_many)
    return next((field for field in fields if field.name == name), None)
