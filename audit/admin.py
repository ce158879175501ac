"""The page of the journal: read only, newest first, never counted."""

from typing import Any

from django.contrib import admin
from django.contrib.auth.models import User
from django.core.exceptions import PermissionDenied
from django.http import HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404
from django.template.response import TemplateResponse
from django.utils.http import urlencode
from django.utils.timezone import get_current_timezone, localtime, now
from unfold.admin import ModelAdmin

from audit import feed, pages, sight
from audit.models import Entry
from audit.pages import Wanted
from audit.question import Question, asked, key
from audit.watched import KINDS
from logs import days
from logs.models import Run

SIZE = 50
"""Entries on a page."""

OFFERED = 200
"""Names that a field offers; others can be typed."""


@admin.register(Entry)
class EntryAdmin(ModelAdmin):
    """Who may see an object may see what became of it; nobody may change what was written."""

    def has_add_permission(self, request: HttpRequest) -> bool:
        """It writes itself."""
        return False

    def has_change_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        """What happened has happened."""
        return False

    def has_delete_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        """And stays."""
        return False

    def has_view_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        """Of those kinds that the viewer may see."""
        kinds = sight.visible_kinds(request.user)
        return bool(kinds) if obj is None else obj.kind in kinds

    def has_module_permission(self, request: HttpRequest) -> bool:
        """In the list of pages."""
        return self.has_view_permission(request)

    def changelist_view(self, request: HttpRequest, extra_context: Any = None) -> HttpResponse:
        """The journal, or a part of it."""
        if not self.has_view_permission(request):
            raise PermissionDenied
        question = asked(request.GET.dict())
        visible = sight.visible_kinds(request.user)
        before, after = (key(request.GET.get(name, "")) for name in ("before", "after"))
        wanted = question.wanted(visible)
        page = pages.page(wanted, SIZE, before=before, after=after)
        bar = {**_bar(question, visible), **_object(wanted)}
        context = {
            **self.admin_site.each_context(request),
            "opts": self.opts,
            "title": bar["object"] or self.opts.verbose_name_plural,
            "days": feed.by_day(feed.told(page.entries)),
            "bar": bar,
            "newer_url": _url(question, after=page.newer) if page.newer else "",
            "older_url": _url(question, before=page.older) if page.older else "",
        }
        return TemplateResponse(request, "admin/audit/entry/list.html", context)

    def change_view(
        self, request: HttpRequest, object_id: str, form_url: str = "", extra_context: Any = None
    ) -> HttpResponse:
        """One entry with all that it tells."""
        entry = get_object_or_404(Entry.objects.prefetch_related("parts"), pk=key(object_id))
        if not self.has_view_permission(request, entry):
            raise PermissionDenied
        [told] = feed.told([entry])
        context = {
            **self.admin_site.each_context(request),
            "opts": self.opts,
            "title": f"{told.kind}: {entry.name}",
            "told": told,
            "object_url": _url(Question(kind=entry.kind, object=entry.object)) if entry.object else "",
            "act_url": _url(Question(act=entry.act)),
        }
        return TemplateResponse(request, "admin/audit/entry/detail.html", context)


def _bar(question: Question, visible: list[str]) -> dict[str, Any]:
    """What the filters above the list show."""
    day, today = question.day, localtime(now()).date()
    model = KINDS[question.kind][0] if question.kind else None
    whats = [what for kind in visible for what in KINDS[kind][1] if question.kind in ("", kind)]
    return {
        "question": question,
        "kinds": [(kind, sight.kind_name(kind)) for kind in visible],
        "whats": [(what, words) for what, words in Entry.What.choices if what in whats],
        "people": list(User.objects.order_by("username").values_list("username", flat=True)[:OFFERED]),
        "unnamed": feed.unnamed(),
        "object": _object_name(question),
        "objects": [str(one) for one in model._default_manager.all()[:OFFERED]] if model not in (None, Run) else [],
        "day": day.isoformat() if day else "",
        "today": today.isoformat(),
        "day_before": _url(question, day=days.moved(day, -1)) if day else "",
        "day_after": _url(question, day=days.moved(day, 1)) if day and day < today else "",
        "zone": str(get_current_timezone()),
    }


def _object(wanted: Wanted) -> dict[str, str]:
    """Where the one object is shown that was asked for, and its versions."""
    found = sight.addresses(Entry(kind=kind, object=key) for kind, key in wanted.objects or ())
    if len(found) != 1:
        return {}
    [((kind, _key), address)] = found.items()
    has_versions = hasattr(KINDS[kind][0], "history")
    return {
        "object_url": address,
        "versions_url": f"{address.removesuffix('change/')}versions/" if has_versions else "",
    }


def _object_name(question: Question) -> str:
    """What the newest entry calls it, where it was asked for by its key."""
    if not (question.object and question.kind):
        return question.object
    rows = Entry.objects.filter(kind=question.kind, object=question.object).order_by("-pk")
    return rows.values_list("name", flat=True).first() or question.object


def _url(question: Question, **more: Any) -> str:
    """The address of this part of the journal."""
    return "?" + urlencode({**question.texts(), **{name: value for name, value in more.items() if value}})
