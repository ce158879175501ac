"""What the command palette finds of models: definitions first, for a pipeline has thousands of runs that bear its
name."""

from collections.abc import Iterator
from typing import Any

from django.contrib import admin
from django.contrib.admin import AdminSite
from django.http import HttpRequest
from django.urls import reverse
from unfold.dataclasses import SearchResult

HISTORY = "logs"
"""The app whose rows come last."""

MOST = 20
"""Rows of one kind."""


def found(request: HttpRequest, text: str) -> list[SearchResult]:
    """Of all that the user may see."""
    apps = sorted(AdminSite.get_app_list(admin.site, request), key=lambda app: str(app["app_label"]) == HISTORY)
    models = [entry["model"] for app in apps for entry in app["models"]]
    return [line for model in models for line in _rows(request, model, text)]


def _rows(request: HttpRequest, model: Any, text: str) -> Iterator[SearchResult]:
    page = admin.site.get_model_admin(model)
    if not (page.get_search_fields(request) and page.has_view_permission(request)):
        return
    rows, _may_repeat = page.get_search_results(request, page.get_queryset(request), text)
    kind, address = model._meta, f"admin:{model._meta.app_label}_{model._meta.model_name}_change"
    for row in dict.fromkeys(rows[:MOST]):
        yield SearchResult(str(row), str(kind.verbose_name), reverse(address, args=[row.pk]), None)
