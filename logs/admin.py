"""Runs in the admin: read only, newest first, never counted."""

from collections.abc import Callable
from typing import Any

from django.contrib import admin
from django.core.exceptions import PermissionDenied
from django.db.models import QuerySet
from django.http import HttpRequest, HttpResponse
from django.http.response import HttpResponseBase
from django.urls import path
from django.utils.translation import gettext_lazy as _
from unfold.admin import ModelAdmin
from unfold.decorators import display
from unfold.paginator import InfinitePaginator

from logs import tail, tail_views
from logs.lateness import lateness
from logs.models import Run
from logs.output import texts
from logs.search import search

COLOURS = {
    "running": "info",
    "succeeded": "success",
    "failed": "danger",
    "timed_out": "warning",
    "killed": "warning",
    "skipped": "default",
    "missed": "warning",
    "lost": "danger",
}


@admin.register(Run)
class RunAdmin(ModelAdmin):
    """What ran and what did not."""

    list_display = [
        "display_state",
        "pipeline_name",
        "node_name",
        "trigger",
        "scheduled_at",
        "display_lateness",
        "display_duration",
        "display_reason",
    ]
    list_display_links = ["display_state", "pipeline_name"]
    list_filter = ["state"]
    search_fields = ["uuid"]
    search_help_text = _("Name of a pipeline or a node, or an id")
    sortable_by = ()
    """By no column: in any other order the whole history would have to be sorted."""
    list_per_page = 50
    paginator = InfinitePaginator
    show_full_result_count = False
    change_form_template = "admin/logs/run/detail.html"

    class Media:
        js = ["ects/run.js"]

    def has_add_permission(self, request: HttpRequest) -> bool:
        """Workers report them."""
        return False

    def has_change_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        """History is not changed."""
        return False

    def has_delete_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        """Retention deletes."""
        return False

    def get_search_results(
        self, request: HttpRequest, queryset: QuerySet[Run], search_term: str
    ) -> tuple[QuerySet[Run], bool]:
        """Never by comparing texts in the history."""
        return search(queryset, search_term), False

    def get_urls(self) -> list[Any]:
        """The two ways to follow a run."""
        ways = {"poll": tail_views.poll, "stream": tail_views.stream}
        return [
            *(
                path(f"<uuid:run>/{name}/", self._for_readers(view), name=f"logs_run_{name}")
                for name, view in ways.items()
            ),
            *super().get_urls(),
        ]

    def _for_readers(self, view: Callable[..., HttpResponseBase]) -> Callable[..., HttpResponseBase]:
        def checked(request: HttpRequest, **kwargs: Any) -> HttpResponseBase:
            if not self.has_view_permission(request):
                raise PermissionDenied
            return view(request, **kwargs)

        return self.admin_site.admin_view(checked)

    def change_view(
        self, request: HttpRequest, object_id: str, form_url: str = "", extra_context: dict[str, Any] | None = None
    ) -> HttpResponse:
        """The run with its steps and what they wrote."""
        run = self.get_object(request, object_id)
        # First the cursor: what comes in while the page is made is left to the script.
        cursor = tail.at_end(run.uuid) if run else 0
        context = {
            **(extra_context or {}),
            "run": run,
            "cursor": cursor,
            "late": lateness(run) if run else None,
            "steps": steps_of(run, cursor) if run else [],
        }
        return super().change_view(request, object_id, form_url, context)

    @display(description=_("state"), label=COLOURS, ordering="state")
    def display_state(self, run: Run) -> tuple[str, Any]:
        """A badge."""
        return run.state, run.get_state_display()

    @display(description=_("late by"))
    def display_lateness(self, run: Run) -> str:
        """Between the scheduled instant and the start."""
        late = lateness(run)
        return "–" if late is None else f"{late:.3f} s"

    @display(description=_("duration"))
    def display_duration(self, run: Run) -> str:
        """Between start and end."""
        if run.started_at is None or run.finished_at is None:
            return "–"
        return f"{(run.finished_at - run.started_at).total_seconds():.2f} s"

    @display(description=_("reason"))
    def display_reason(self, run: Run) -> str:
        """Why, and for a gap how many."""
        return f"×{run.count} {run.reason}" if run.count > 1 else run.reason


def steps_of(run: Run, cursor: int) -> list[dict[str, Any]]:
    """Each step with its output up to the cursor, for the page."""
    outputs = texts([run.uuid], until=cursor)
    return [
        {
            "row": step,
            "output": outputs.get((run.uuid, step.index), ""),
            "seconds": (step.finished_at - step.started_at).total_seconds()
            if step.started_at and step.finished_at
            else None,
        }
        for step in run.steps.order_by("index")
    ]
