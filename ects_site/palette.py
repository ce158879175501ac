"""What the command palette finds of models: definitions first, for a pipeline has thousands of runs that bear its
name."""

from collections.abc import Iterator
from typing import Any
from urllib.parse import urlencode

from django.contrib import admin
from django.contrib.admin import AdminSite
from django.http import HttpRequest
from django.urls import reverse
from django.utils.translation import gettext as _
from unfold.dataclasses import SearchResult

LAST = ("pipelines.lostedit", "logs.run")
"""Models whose rows come behind those of the others."""

MOST = 8
"""Rows of one kind; with those of all kinds the palette has room."""


def found(request: HttpRequest, text: str) -> list[SearchResult]:
    """Of all that the user may see."""
    models = [entry["model"] for app in AdminSite.get_app_list(admin.site, request) for entry in app["models"]]
    models.sort(key=lambda model: LAST.index(label) if (label := model._meta.label_lower) in LAST else -1)
    return [line for model in models for line in _rows(request, model, text)]


def _rows(request: HttpRequest, model: Any, text: str) -> Iterator[SearchResult]:
    """The first ones, and where there are more of them. Before those whose description has the text stand those whose
    name has it: Enter opens the first."""
    page = admin.site.get_model_admin(model)
    if not (page.get_search_fields(request) and page.has_view_permission(request)):
        return
    rows, _may_repeat = page.get_search_results(request, page.get_queryset(request), text)
    kind, address = model._meta, f"admin:{model._meta.app_label}_{model._meta.model_name}_"
    some = sorted(dict.fromkeys(rows[: MOST + 1]), key=lambda row: text.casefold() not in str(row).casefold())
    for row in some[:MOST]:
        yield SearchResult(str(row), str(kind.verbose_name), reverse(f"{address}change", args=[row.pk]), None)
    if len(some) > MOST:
        every = f"{reverse(f'{address}changelist')}?{urlencode({'q': text})}"
        yield SearchResult(_("All that are found …"), str(kind.verbose_name_plural), every, None)
