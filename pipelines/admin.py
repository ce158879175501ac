"""Pipelines and the global pause in the admin."""

from collections.abc import Callable
from contextlib import suppress
from functools import wraps
from typing import Any
from uuid import UUID

from django.contrib import admin, messages
from django.core.exceptions import PermissionDenied, ValidationError
from django.db.models import Exists, F, OuterRef, QuerySet
from django.forms import SplitDateTimeField
from django.http import HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404, redirect
from django.template.response import TemplateResponse
from django.urls import path, reverse
from django.utils.safestring import SafeString
from django.utils.timezone import now
from django.utils.translation import gettext_lazy as _
from unfold.admin import ModelAdmin, StackedInline, TabularInline
from unfold.contrib.filters.admin import RelatedDropdownFilter
from unfold.decorators import display

from logs.newest import newest_runs
from pipelines import (
    additions,
    calendars_admin,
    displays,
    explain_page,
    lost_edits_admin,
    previews,
    publishing,
    retention_admin,
    run_changes,
)
from pipelines.actions import PipelineActions
from pipelines.forms import BindingForm, PipelineForm, StepForm
from pipelines.formsets import StepFormSet
from pipelines.models import Binding, Calendar, Control, Pipeline, Publication, Step
from tasks.versions import VersionedAdmin
from workers.models import Node

__all__ = [
    "BindingInline", "ControlAdmin", "PipelineAdmin", "StepInline", "additions", "calendars_admin", "lost_edits_admin",
    "retention_admin",
]  # fmt: skip


EDITING = {"builder", "beside"}
"""Fields that serve the editing alone."""


SHAPING = ("schedule", "timezone", "dst_gap", "dst_repeat", "calendars", "starts_at", "ends_at")
"""Fields that say when a pipeline fires: the form shows what comes of a change in each of them."""


def to_look_at(fieldsets: Any) -> list[Any]:
    """Fieldsets without what serves the editing alone."""
    return [(name, {**shown, "fields": _without(EDITING, shown["fields"])}) for name, shown in fieldsets]


def _without(names: set[str], fields: Any) -> list[Any]:
    """The rows of a fieldset, some of several fields."""
    rows = [row if isinstance(row, tuple) else (row,) for row in fields]
    return [left for row in rows if (left := tuple(name for name in row if name not in names))]


def say_paused(request: HttpRequest) -> None:
    """While everything is paused, what is enabled and has a next fire looks as if it would fire."""
    if request.method == "GET" and Control.objects.filter(paused=True).exists():
        messages.warning(request, f"{_('Everything is paused.')} {_('Fires are skipped on all nodes.')}")


def once(field: Callable[[Any, Pipeline], SafeString]) -> Callable[[Any, Pipeline], SafeString]:
    """A read-only field of the form is asked for several times while a page is made."""

    @wraps(field)
    def kept(self: Any, pipeline: Pipeline) -> SafeString:
        shown = pipeline.__dict__.setdefault("_shown", {})
        if field.__name__ not in shown:
            shown[field.__name__] = field(self, pipeline)
        return SafeString(shown[field.__name__])

    return kept


class StepInline(StackedInline):
    """Steps, dragged into their order."""

    model = Step
    form = StepForm
    formset = StepFormSet
    ordering_field = "position"
    hide_ordering_field = True
    compressed_fields = False
    autocomplete_fields = ["task"]
    template_before = "pipelines/board.html"
    fieldsets = [
        (None, {"fields": [("task", "dependence", "timeout", "retries", "interval", "beside"), "position"]}),
        (
            _("Surroundings and limits"),
            {
                "classes": ["collapse"],
                "fields": [
                    ("directory", "environment"),
                    ("user", "group", "umask", "nice"),
                    ("memory", "cpu_seconds", "open_files", "processes"),
                ],
            },
        ),
    ]

    def get_extra(self, request: HttpRequest, obj: Any = None, **kwargs: Any) -> int:
        """A new pipeline has none without one."""
        return 0 if obj else 1

    def get_fieldsets(self, request: HttpRequest, obj: Any = None) -> Any:
        """Who may only look reads the stage in the heading of each step."""
        return self.fieldsets if self.has_change_permission(request, obj) else to_look_at(self.fieldsets)


class BindingInline(TabularInline):
    """Nodes by name."""

    model = Binding
    form = BindingForm
    hide_title = True
    verbose_name = _("node")
    verbose_name_plural = _("Where it runs")

    def get_extra(self, request: HttpRequest, obj: Any = None, **kwargs: Any) -> int:
        """A new pipeline runs nowhere without one."""
        return 0 if obj else 1

    def formfield_for_foreignkey(self, db_field: Any, request: HttpRequest, **kwargs: Any) -> Any:
        """A master executes nothing."""
        return super().formfield_for_foreignkey(db_field, request, **{**kwargs, "queryset": Node.objects.serving()})


@admin.register(Pipeline)
class PipelineAdmin(PipelineActions, VersionedAdmin, ModelAdmin):
    """Pipelines: what they do, when, where, and what became of it."""

    form = PipelineForm
    inlines = [StepInline, BindingInline]
    list_display = ["titled", "scheduled", "next_fire", "last_runs", "standing"]
    list_filter = [
        "enabled", "paused", "placement",
        ("bindings__node", RelatedDropdownFilter), ("calendars", RelatedDropdownFilter),
    ]  # fmt: skip
    list_filter_submit = True
    list_per_page = 25
    search_fields = ["name", "description", "schedule"]
    autocomplete_fields = ["on_success", "on_failure", "calendars"]
    readonly_fields = ["builder", "fires", "places", "paused", "publication", "created_at", "updated_at"]
    warn_unsaved_form = True
    compressed_fields = False
    change_form_template = "ects/change_form.html"
    change_form_before_template = "pipelines/facts.html"
    empty_icon = "account_tree"
    empty_hint = _("A pipeline puts tasks in their order and gives them a schedule, and nodes to run on.")

    class Media:
        css = {"all": ["ects/pipeline.css"]}
        js = ["ects/preview.js", "ects/schedule.js", "ects/board.js"]

    actions = ["run_selected", "pause_selected", "resume_selected", "enable_selected", "disable_selected"]
    actions_row = ["run_one", "pause_one", "resume_one"]
    actions_detail = ["run_one", "pause_one", "resume_one"]
    fieldsets = [
        (None, {"fields": [("name", "description"), "enabled"]}),
        (_("Schedule"), {"fields": [("schedule", "timezone"), ("builder", "fires"), "calendars"]}),
        (None, {"classes": ["after"], "fields": [("node_labels", "places"), ("placement", "on_node_loss")]}),
        (_("Run"), {"classes": ["tab"], "fields": [("timeout", "overlap"), ("on_success", "on_failure")]}),
        (
            _("Missed fires"),
            {"classes": ["tab"], "fields": [("misfire", "misfire_grace"), ("misfire_window", "misfire_cap")]},
        ),
        (
            _("Limits of the schedule"),
            {"classes": ["tab"], "fields": [("starts_at", "ends_at"), ("dst_gap", "dst_repeat"), "jitter"]},
        ),
        (
            _("Publication"),
            {"classes": ["tab"], "fields": ["publication", ("paused", "created_at", "updated_at")]},
        ),
    ]

    def get_queryset(self, request: HttpRequest) -> QuerySet[Pipeline]:
        """With what the list shows of other tables."""
        behind = Publication.objects.filter(pipeline=OuterRef("pk"), published__lt=F("wanted"))
        bound = Binding.objects.filter(pipeline=OuterRef("pk"))
        annotated = super().get_queryset(request).annotate(behind=Exists(behind), bound=Exists(bound))
        return annotated.prefetch_related("calendars__entries")

    def get_fieldsets(self, request: HttpRequest, obj: Any = None) -> Any:
        """What there is to see of a new one is still to come; who may only look has nothing to build."""
        fieldsets: Any = self.fieldsets if obj else self.fieldsets[:-1]
        if obj is None or self.has_change_permission(request, obj):
            return fieldsets
        return to_look_at(fieldsets)

    def get_changelist_instance(self, request: HttpRequest) -> Any:
        """The pipelines of one page, with their newest runs."""
        page = super().get_changelist_instance(request)
        say_paused(request)
        newest = newest_runs(pipeline.pk for pipeline in page.result_list)
        for pipeline in page.result_list:
            pipeline.newest = newest.get(pipeline.pk, [])
        return page

    def get_urls(self) -> list[Any]:
        """The live preview of the form, and why a pipeline did or did not run."""
        preview, explain = self.admin_site.admin_view(self.preview), self.admin_site.admin_view(self.explain)
        return [
            path("preview/", preview, name="pipelines_pipeline_preview"),
            path("places/", self.admin_site.admin_view(self.preview_places), name="pipelines_pipeline_places"),
            path("<uuid:pk>/explain/", explain, name="pipelines_pipeline_explain"),
            *run_changes.urls(self.admin_site),
            *super().get_urls(),
        ]

    def preview(self, request: HttpRequest) -> HttpResponse:
        """What the schedule in the form means; reads only."""
        self._refuse_strangers(request)
        names = ("schedule", "timezone", "dst_gap", "dst_repeat")
        given: dict[str, Any] = {name: request.GET[name] for name in names if name in request.GET}
        for name in ("starts_at", "ends_at"):
            with suppress(ValidationError):
                given[name] = SplitDateTimeField(required=False).clean(
                    [request.GET.get(f"{name}_{part}", "") for part in (0, 1)]
                )
        if (own := uuid_or_none(request.GET.get("pipeline", ""))) is not None:
            given["pk"] = own
        chosen = [key for key in request.GET.getlist("calendars") if key.isdecimal() and len(key) < 19]
        calendars = Calendar.objects.filter(pk__in=chosen).prefetch_related("entries")
        return HttpResponse(previews.fires(Pipeline(**given), now(), calendars))

    def preview_places(self, request: HttpRequest) -> HttpResponse:
        """The nodes that the form's bindings and labels mean; reads only."""
        self._refuse_strangers(request)
        field = PipelineForm.base_fields["node_labels"]
        try:
            labels = field.clean(request.GET.get("node_labels", ""))
        except ValidationError:
            labels = {}
        bound = [
            str(node)
            for name, node in request.GET.items()
            if name.startswith("bindings-") and name.endswith("-node") and f"{name[:-4]}DELETE" not in request.GET
        ]
        return HttpResponse(previews.places(bound, labels, request.GET.get("placement", "")))

    def _refuse_strangers(self, request: HttpRequest) -> None:
        """The previews name other pipelines, and nodes: they are for who has the form."""
        if not (self.has_view_permission(request) or self.has_add_permission(request)):
            raise PermissionDenied

    def change_view(
        self, request: HttpRequest, object_id: str, form_url: str = "", extra_context: dict[str, Any] | None = None
    ) -> HttpResponse:
        """With what became of it above its form."""
        pipeline = self.get_object(request, object_id)
        if pipeline is None:  # The actions would look for it by what may be no id at all.
            self._refuse_strangers(request)
            return self._get_obj_does_not_exist_redirect(request, self.opts, object_id)
        facts = displays.facts(pipeline, now())
        say_paused(request)
        return super().change_view(request, object_id, form_url, {**(extra_context or {}), "facts": facts})

    def explain(self, request: HttpRequest, pk: UUID) -> HttpResponse:
        """Why it did or did not run at an instant; reads only."""
        pipeline = get_object_or_404(Pipeline, pk=pk)
        if not self.has_view_permission(request, pipeline):
            raise PermissionDenied
        context = {**self.admin_site.each_context(request), **explain_page.context(pipeline, request.GET, now())}
        return TemplateResponse(request, "admin/pipelines/pipeline/explain.html", context)

    def get_form(self, request: HttpRequest, obj: Any = None, change: bool = False, **kwargs: Any) -> Any:
        """The schedule's field asks for its preview while one types."""
        form = super().get_form(request, obj, change, **kwargs)
        watched = {  # A date that was picked gets the focus, and no other event.
            "hx-get": reverse("admin:pipelines_pipeline_preview") + (f"?pipeline={obj.pk}" if obj else ""),
            "hx-trigger": "input changed delay:300ms, change, focus changed, chosen",
            "hx-include": ",".join(f"[name^={name}]" for name in SHAPING),
            "hx-target": "#schedule-preview",
            "hx-swap": "outerHTML",
        }
        for name in SHAPING:
            if name in form.base_fields:
                form.base_fields[name].widget.attrs.update(watched)
        if "placement" in form.base_fields:
            form.base_fields["placement"].widget.attrs["data-places"] = reverse("admin:pipelines_pipeline_places")
        if "timezone" in form.base_fields:
            form.base_fields["timezone"].widget.attrs["list"] = "time-zones"
        return form

    @display(description=_("Pipeline"), ordering="name", header=True)
    def titled(self, pipeline: Any) -> list[Any]:
        return [displays.dotted_name(pipeline, pipeline.newest), pipeline.description]

    @display(description=_("Schedule"), ordering="schedule")
    def scheduled(self, pipeline: Pipeline) -> SafeString:
        return displays.schedule_code(pipeline)

    @display(description=_("Next fire"))
    def next_fire(self, pipeline: Pipeline) -> SafeString | str:
        return displays.next_fire(pipeline, now())

    @display(description=_("Last 30 runs"))
    def last_runs(self, pipeline: Any) -> SafeString:
        return displays.last_runs(pipeline, pipeline.newest)

    @display(description=_("State"), ordering="enabled")
    def standing(self, pipeline: Any) -> SafeString:
        return displays.standing(pipeline)

    @display(description=_("Presets"))
    def builder(self, pipeline: Pipeline) -> SafeString:
        return previews.builder()

    @display(description=_("Next fires"))
    @once
    def fires(self, pipeline: Pipeline) -> SafeString:
        return previews.fires(pipeline, now())

    @display(description=_("Where it will run"))
    @once
    def places(self, pipeline: Pipeline) -> SafeString:
        bound = [str(binding.node_id) for binding in pipeline.bindings.all()] if pipeline.pk else []
        return previews.places(bound, pipeline.node_labels, pipeline.placement)

    @display(description=_("Nodes"))
    @once
    def publication(self, pipeline: Pipeline) -> SafeString:
        return displays.publications(pipeline)


def uuid_or_none(text: str) -> UUID | None:
    """Of a parameter that may be anything."""
    try:
        return UUID(text)
    except ValueError:
        return None


@admin.register(Control)
class ControlAdmin(ModelAdmin):
    """One page with one switch: pause everything."""

    readonly_fields = ["told"]
    fieldsets = [
        (
            None,
            {
                "fields": ["paused", "told"],
                "description": _(
                    "While everything is paused no worker begins a fire: fires are skipped, and nothing is caught up "
                    "afterwards. What runs goes on, and runs by hand are possible."
                ),
            },
        )
    ]

    def has_add_permission(self, request: HttpRequest) -> bool:
        """There is one."""
        return False

    def has_delete_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        """And it stays."""
        return False

    def changelist_view(self, request: HttpRequest, extra_context: Any = None) -> HttpResponse:
        """Straight to the switch."""
        Control.objects.get_or_create(pk=1)
        return redirect("admin:pipelines_control_change", 1)

    def save_model(self, request: HttpRequest, obj: Control, form: Any, change: bool) -> None:
        """Publishes it too."""
        publishing.set_paused(obj.paused)

    @display(description=_("Workers"))
    def told(self, control: Control) -> Any:
        known = control.published >= control.generation
        return _("have been told") if known else _("not yet told: etcd cannot be reached")
