"""What of the journal somebody may see, and where its objects are shown."""

from collections.abc import Iterable
from contextlib import suppress
from typing import Any

from django.contrib import admin
from django.core.exceptions import ValidationError
from django.urls import reverse
from django.utils.text import capfirst

from audit.models import Entry
from audit.watched import KINDS
from logs.models import Run


def visible_kinds(user: Any) -> list[str]:
    """Kinds of objects that the user may see or change: of these the changes too."""
    return [kind for kind in KINDS if _may_see(user, kind)]


def kind_name(kind: str) -> str:
    """In words; a kind that is no longer known by its own name."""
    return str(capfirst(KINDS[kind][0]._meta.verbose_name)) if kind in KINDS else kind


def addresses(entries: Iterable[Entry]) -> dict[tuple[str, str], str]:
    """The pages of those objects that still exist, by (kind, key)."""
    wanted: dict[str, set[str]] = {}
    for entry in entries:
        if entry.object and entry.kind in KINDS and admin.site.is_registered(KINDS[entry.kind][0]):
            wanted.setdefault(entry.kind, set()).add(entry.object)
    found = {}
    for kind, texts in wanted.items():
        model = KINDS[kind][0]
        name = "uuid" if model is Run else model._meta.pk.name
        keys = _keys(model._meta.get_field(name), texts)
        for key, primary in model._default_manager.filter(**{f"{name}__in": keys}).values_list(name, "pk"):
            page = f"admin:{model._meta.app_label}_{model._meta.model_name}_change"
            found[kind, str(key)] = reverse(page, args=[primary])
    return found


def _keys(field: Any, texts: Iterable[str]) -> list[Any]:
    """Without what people type and cannot be a key."""
    found = []
    for text in texts:
        with suppress(ValidationError):
            found.append(field.to_python(text))
    return found


def _may_see(user: Any, kind: str) -> bool:
    app, model = kind.split(".")
    return any(user.has_perm(f"{app}.{right}_{model}") for right in ("view", "change"))
