"""The pages that the console leads to at its side: those that the user may open."""

from typing import Any

from django.apps import apps
from django.contrib import admin
from django.http import HttpRequest
from django.urls import reverse
from django.utils.functional import Promise
from django.utils.translation import gettext_lazy as _

Page = tuple[str | Promise, str, str]
"""What it is called, its icon, and the model that is listed there; or the name of its address."""

PAGES: list[tuple[str | Promise, list[Page]]] = [
    (
        _("Operate"),
        [
            (_("Dashboard"), "monitoring", "admin:index"),
            (_("Runs"), "play_circle", "logs.run"),
            (_("Retention"), "auto_delete", "logs.retention"),
            (_("Nodes"), "dns", "workers.node"),
            (_("Global pause"), "pause_circle", "pipelines.control"),
        ],
    ),
    (
        _("Define"),
        [
            (_("Pipelines"), "account_tree", "pipelines.pipeline"),
            (_("Calendars"), "event_busy", "pipelines.calendar"),
            (_("Tasks"), "terminal", "tasks.task"),
            (_("Secrets"), "key", "tasks.secret"),
        ],
    ),
    (
        _("Access"),
        [
            (_("Users"), "group", "auth.user"),
            (_("Groups"), "groups", "auth.group"),
            (_("Audit"), "history", "audit.entry"),
            (_("API"), "api", "api-root"),
        ],
    ),
]


def shown(request: HttpRequest) -> list[dict[str, Any]]:
    """In the form that the theme takes."""
    parts = [(title, [_entry(page) for page in pages if _may_open(request, page)]) for title, pages in PAGES]
    return [{"title": title, "items": items} for title, items in parts if items]


def _may_open(request: HttpRequest, page: Page) -> bool:
    if not _is_model(page):
        return True
    return admin.site.get_model_admin(apps.get_model(page[2])).has_view_permission(request)


def _entry(page: Page) -> dict[str, Any]:
    title, icon, target = page
    address = f"admin:{target.replace('.', '_')}_changelist" if _is_model(page) else target
    return {"title": title, "icon": icon, "link": reverse(address)}


def _is_model(page: Page) -> bool:
    return "." in page[2]
