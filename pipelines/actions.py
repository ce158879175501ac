"""What can be done with pipelines in the admin: run, pause, resume, enable, disable. All by POST."""

from collections.abc import Callable, Iterable
from typing import Any

from django.contrib import admin, messages
from django.db.models import QuerySet
from django.http import HttpRequest, HttpResponse
from django.urls import reverse
from django.utils.html import format_html
from django.utils.timezone import now
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy, ngettext

from coordination.errors import CoordinationError
from logs.confirmation import by_dialog, confirmed
from logs.models import Run
from pipelines import commands
from pipelines.models import Pipeline
from pipelines.validation import enabling_errors, pipeline_errors

Act = Callable[[HttpRequest, Pipeline], str]
"""Does it, and says where to see what comes of it; empty where there is nothing to see."""


class PipelineActions:
    """Actions of the list, of a row and of the form. An unfold action without a dialog would run on GET."""

    def has_operate_permission(self, request: HttpRequest, object_id: Any = None) -> bool:
        """Acting on a pipeline asks for the permission to change it."""
        return self.has_change_permission(request)  # type: ignore[attr-defined]

    def get_actions_detail(self, request: HttpRequest, object_id: Any) -> list[Any]:
        """Of pausing and resuming the one that changes something."""
        is_paused = Pipeline.objects.filter(pk=object_id, paused=True).exists()
        useless = "pause_one" if is_paused else "resume_one"
        actions = super().get_actions_detail(request, object_id)  # type: ignore[misc]
        return [each for each in actions if not each.action_name.endswith(useless)]

    @confirmed(gettext_lazy("Have the nodes of these pipelines run them once, now?"))
    @admin.action(description=gettext_lazy("Run now"), permissions=["operate"])
    def run_selected(self, request: HttpRequest, chosen: QuerySet[Pipeline]) -> None:
        _each(request, chosen, run, _("sent to its nodes"))

    @confirmed(gettext_lazy("Pause these pipelines? Their fires are skipped until they are resumed."))
    @admin.action(description=gettext_lazy("Pause"), permissions=["operate"])
    def pause_selected(self, request: HttpRequest, chosen: QuerySet[Pipeline]) -> None:
        _each(request, chosen, pause, _("paused"))

    @admin.action(description=gettext_lazy("Resume"), permissions=["operate"])
    def resume_selected(self, request: HttpRequest, chosen: QuerySet[Pipeline]) -> None:
        _each(request, chosen, resume, _("resumed"))

    @admin.action(description=gettext_lazy("Enable"), permissions=["operate"])
    def enable_selected(self, request: HttpRequest, chosen: QuerySet[Pipeline]) -> None:
        _each(request, chosen, enable, _("enabled"))

    @confirmed(gettext_lazy("Disable these pipelines? Their nodes are told to forget them."), is_grave=True)
    @admin.action(description=gettext_lazy("Disable"), permissions=["operate"])
    def disable_selected(self, request: HttpRequest, chosen: QuerySet[Pipeline]) -> None:
        _each(request, chosen, disable, _("disabled"))

    @by_dialog(
        gettext_lazy("Run now"),
        gettext_lazy("Every node of the pipeline runs it once, as it is saved."),
        icon="play_arrow",
        permission="operate",
    )
    def run_one(self, request: HttpRequest, form: Any, object_id: str) -> HttpResponse:
        return _one(request, object_id, run, _("sent to its nodes"))

    @by_dialog(
        gettext_lazy("Pause"),
        gettext_lazy("Its fires are skipped until it is resumed. What runs goes on."),
        icon="pause",
        permission="operate",
    )
    def pause_one(self, request: HttpRequest, form: Any, object_id: str) -> HttpResponse:
        return _one(request, object_id, pause, _("paused"))

    @by_dialog(
        gettext_lazy("Resume"),
        gettext_lazy("It fires again from the next instant on; nothing is caught up."),
        icon="resume",
        permission="operate",
    )
    def resume_one(self, request: HttpRequest, form: Any, object_id: str) -> HttpResponse:
        return _one(request, object_id, resume, _("resumed"))


def run(request: HttpRequest, pipeline: Pipeline) -> str:
    """Raises Conflict and CoordinationError."""
    runs = commands.send_run(pipeline, {}, request.user)
    url = f"{reverse('admin:logs_run_changelist')}?pipeline={pipeline.pk}"
    if len(runs) == 1:
        url = reverse("admin:logs_run_change", args=[Run.objects.get(uuid=runs[0]).pk])
    return format_html('<a class="ects-link" href="{}">{}</a>', url, _("See what comes of it"))


def pause(request: HttpRequest, pipeline: Pipeline) -> str:
    """Its fires are skipped from now on."""
    pipeline.paused = True
    pipeline.save(update_fields=["paused"])
    return ""


def resume(request: HttpRequest, pipeline: Pipeline) -> str:
    """It fires again."""
    pipeline.paused = False
    pipeline.save(update_fields=["paused"])
    return ""


def enable(request: HttpRequest, pipeline: Pipeline) -> str:
    """Raises Conflict with what stands against it."""
    pipeline.enabled = True
    steps = pipeline.steps.select_related("task")
    if errors := pipeline_errors(pipeline, now()) or enabling_errors(pipeline, steps):
        raise commands.Conflict(" ".join(message for found in errors.values() for message in found))
    pipeline.save(update_fields=["enabled", "updated_at"])
    return ""


def disable(request: HttpRequest, pipeline: Pipeline) -> str:
    """Its nodes are to forget it."""
    pipeline.enabled = False
    pipeline.save(update_fields=["enabled", "updated_at"])
    return ""


def _each(request: HttpRequest, chosen: Iterable[Pipeline], act: Act, outcome: str) -> None:
    done = sum(_try(request, pipeline, act) is not None for pipeline in chosen)
    if done:
        text = ngettext("%(count)d pipeline: %(outcome)s.", "%(count)d pipelines: %(outcome)s.", done)
        messages.success(request, text % {"count": done, "outcome": outcome})


def _one(request: HttpRequest, object_id: str, act: Act, outcome: str) -> HttpResponse:
    """Answers the dialog, which then loads the page anew."""
    pipeline = Pipeline.objects.filter(pk=object_id).first()
    if pipeline is not None and (link := _try(request, pipeline, act)) is not None:
        messages.success(request, format_html("{}: {}. {}", pipeline.name, outcome, link))
    page = request.headers.get("HX-Current-URL") or reverse("admin:pipelines_pipeline_changelist")
    return HttpResponse(headers={"HX-Redirect": page})


def _try(request: HttpRequest, pipeline: Pipeline, act: Act) -> str | None:
    """What ``act`` says; None when it could not be done, which is told then."""
    try:
        return act(request, pipeline)
    except commands.Conflict as conflict:
        messages.error(request, f"{pipeline.name}: {conflict}")
    except CoordinationError as error:
        messages.error(request, _("%(name)s: etcd cannot be used: %(error)s") % {"name": pipeline.name, "error": error})
    return None
