"""Runs in the admin: read only, newest first, never counted."""

from collections.abc import Callable
from typing import Any

from django.contrib import admin
from django.core.exceptions import PermissionDenied
from django.db.models import QuerySet
from django.http import HttpRequest, HttpResponse
from django.http.response import HttpResponseBase
from django.template.response import TemplateResponse
from django.urls import path
from django.utils.html import format_html
from django.utils.safestring import SafeString
from django.utils.timezone import now
from django.utils.translation import gettext_lazy as _
from unfold.admin import ModelAdmin
from unfold.decorators import display
from unfold.paginator import InfinitePaginator

from logs import run_list, run_page, run_views, tail, tail_views
from logs.lateness import lateness
from logs.models import Run
from logs.run_list import RunList
from logs.run_times import duration, when
from logs.search import search

COLOURS = dict(zip(Run.State.values, Run.State.values, strict=True))
"""The style sheet names its colours by the states."""


@admin.register(Run)
class RunAdmin(ModelAdmin):
    """What ran and what did not."""

    list_display = [
        "display_pipeline",
        "display_state",
        "display_trigger",
        "display_scheduled",
        "display_lateness",
        "display_duration",
        "display_reason",
    ]
    list_display_links = ["display_pipeline", "display_state"]
    search_fields = ["uuid"]
    search_help_text = _("Pipeline, node or id")
    sortable_by = ()
    """By no column: in any other order the whole history would have to be sorted."""
    list_per_page = 50
    paginator = InfinitePaginator
    show_full_result_count = False
    empty_icon = "play_circle"
    empty_hint = _("What fires appears here, with its steps and what they wrote. A pipeline can also be run by hand.")
    empty_next = ("admin:pipelines_pipeline_changelist", _("Pipelines"))
    change_form_template = "admin/logs/run/detail.html"
    change_list_template = "admin/logs/run/list.html"

    class Media:
        css = {"all": ["ects/run.css"]}
        js = ["ects/ansi.js", "ects/console.js", "ects/run.js"]

    def has_add_permission(self, request: HttpRequest) -> bool:
        """Workers report them."""
        return False

    def has_change_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        """History is not changed."""
        return False

    def has_delete_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        """Retention deletes."""
        return False

    def get_changelist(self, request: HttpRequest, **kwargs: Any) -> type[RunList]:
        """With pages by key."""
        return RunList

    def get_search_results(
        self, request: HttpRequest, queryset: QuerySet[Run], search_term: str
    ) -> tuple[QuerySet[Run], bool]:
        """Never by comparing texts in the history."""
        return search(queryset, search_term), False

    def get_urls(self) -> list[Any]:
        """The ways to follow a run, its parts, and the output of a step."""
        views: dict[str, Callable[..., HttpResponseBase]] = {
            "poll": tail_views.poll,
            "stream": tail_views.stream,
            "parts": run_views.parts,
        }
        paths = [
            path(f"<uuid:run>/{name}/", self._for_readers(view), name=f"logs_run_{name}")
            for name, view in views.items()
        ]
        download = self._for_readers(run_views.download)
        return [
            *paths,
            path("<uuid:run>/output/<int:step>/", download, name="logs_run_download"),
            *super().get_urls(),
        ]

    def _for_readers(self, view: Callable[..., HttpResponseBase]) -> Callable[..., HttpResponseBase]:
        def checked(request: HttpRequest, **kwargs: Any) -> HttpResponseBase:
            if not self.has_view_permission(request):
                raise PermissionDenied
            return view(request, **kwargs)

        return self.admin_site.admin_view(checked)

    def changelist_view(self, request: HttpRequest, extra_context: dict[str, Any] | None = None) -> HttpResponse:
        """With the filters above the list."""
        response = super().changelist_view(request, extra_context)
        if isinstance(response, TemplateResponse) and response.context_data and "cl" in response.context_data:
            response.context_data["bar"] = run_list.bar(response.context_data["cl"])
        return response

    def change_view(
        self, request: HttpRequest, object_id: str, form_url: str = "", extra_context: dict[str, Any] | None = None
    ) -> HttpResponse:
        """The run with its steps and what they wrote."""
        context = dict(extra_context or {})
        if (run := self.get_object(request, object_id)) is not None:
            # First the cursor: what comes in while the page is made is left to the script.
            cursor = tail.at_end(run.uuid)
            context |= {"cursor": cursor, **run_page.context(request, run, now(), cursor)}
        return super().change_view(request, object_id, form_url, context)

    @display(description=_("State"), label=COLOURS, ordering="state")
    def display_state(self, run: Run) -> tuple[str, Any]:
        """A badge."""
        return run.state, run.get_state_display()

    @display(description=_("Pipeline"))
    def display_pipeline(self, run: Run) -> SafeString:
        """And the node."""
        return format_html(
            '<span class="ects-what">{}</span><small class="ects-where">{}</small>',
            run.pipeline_name,
            run.node_name or "–",
        )

    @display(description=_("Trigger"))
    def display_trigger(self, run: Run) -> str:
        """And by whom."""
        return run_page.trigger(run)

    @display(description=_("Scheduled"))
    def display_scheduled(self, run: Run) -> str:
        """How long ago, and the instant."""
        return when(run.scheduled_at, now())

    @display(description=_("Late by"))
    def display_lateness(self, run: Run) -> str:
        """Between the scheduled instant and the start."""
        late = lateness(run)
        return "–" if late is None else _number(f"{late:.3f} s")

    @display(description=_("Duration"))
    def display_duration(self, run: Run) -> str:
        """Between start and end, or up to now."""
        if run.started_at is None or (run.finished_at is None and run.state != Run.State.RUNNING):
            return "–"
        return _number(duration((run.finished_at or now()) - run.started_at))

    @display(description=_("Reason"))
    def display_reason(self, run: Run) -> str:
        """Why, in a few words; all of them behind the mouse."""
        reason = run_page.reason(run)
        return (
            format_html('<span class="ects-short" title="{0}">{0}</span>', reason)
            if reason
            else SafeString('<span class="ects-none">–</span>')
        )


def _number(text: str) -> SafeString:
    return format_html('<span class="ects-number">{}</span>', text)
