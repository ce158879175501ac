"""What this app adds to the admin pages of the apps below it, which must not know it."""

from typing import Any

from django.contrib import admin, messages
from django.db.models import Q, QuerySet
from django.http import HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404
from django.urls import reverse
from django.utils.safestring import SafeString
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy
from unfold.decorators import action, display

from coordination.errors import CoordinationError
from logs.admin import RunAdmin
from logs.confirmation import confirmed
from logs.models import Run
from pipelines import displays
from pipelines.commands import Conflict, send_kill, send_trial
from pipelines.forms import TrialForm
from pipelines.models import Pipeline
from pipelines.run_orders import MAY_KILL
from tasks.admin import TaskAdmin
from tasks.models import Task

admin.site.unregister([Task, Run])


@admin.register(Task)
class TaskWithUses(TaskAdmin):
    """Where the task is used."""

    actions_detail = ["try_it"]
    readonly_fields = [*TaskAdmin.readonly_fields, "used_in"]

    def get_fieldsets(self, request: HttpRequest, obj: Any = None) -> Any:
        """A new one is used nowhere yet."""
        first, content, record = super().get_fieldsets(request, obj)
        used = (gettext_lazy("Used in"), {"fields": ["used_in"]})
        return [first, content, used, record] if obj else [first, content]

    @display(description=gettext_lazy("Pipelines"), empty_value="–")
    def used_in(self, task: Task) -> SafeString | None:
        uses = Q(steps__task=task.pk) | Q(on_success=task.pk) | Q(on_failure=task.pk)
        pipelines = Pipeline.objects.filter(uses).distinct() if task.pk else Pipeline.objects.none()
        return displays.pipeline_links(pipelines)

    def has_operate_permission(self, request: HttpRequest, object_id: Any = None) -> bool:
        """A trial runs what one may write, where pipelines run."""
        return self.has_change_permission(request) and request.user.has_perm("pipelines.change_pipeline")

    @action(
        description=gettext_lazy("Try it …"),
        icon="experiment",
        permissions=["operate"],
        dialog={
            "title": gettext_lazy("Try it once"),
            "description": gettext_lazy("The node does it now, as it is saved, and the page of the run opens."),
            "form_class": TrialForm,
            "form_submit_text": gettext_lazy("Try it"),
        },
    )
    def try_it(self, request: HttpRequest, form: TrialForm, object_id: str) -> HttpResponse:
        task = get_object_or_404(Task, pk=object_id)
        try:
            run = send_trial(task, form.cleaned_data["node"], request.user)
        except (Conflict, CoordinationError) as error:
            messages.error(request, f"{task}: {error}")
            page = reverse("admin:tasks_task_change", args=[task.pk])
        else:
            page = reverse("admin:logs_run_change", args=[Run.objects.get(uuid=run).pk])
        return HttpResponse(headers={"HX-Redirect": page})


@admin.register(Run)
class RunWithKill(RunAdmin):
    """Ends several runs; a single one is ended on its page (``pipelines.run_orders``)."""

    actions = ["kill_selected"]

    def has_kill_permission(self, request: HttpRequest, object_id: Any = None) -> bool:
        """History is not changed, but what runs can be ended by who may change runs."""
        allowed: bool = request.user.has_perm(MAY_KILL)
        return allowed

    @confirmed(gettext_lazy("Kill these runs, with all their processes?"), is_grave=True)
    @admin.action(description=gettext_lazy("Kill"), permissions=["kill"])
    def kill_selected(self, request: HttpRequest, chosen: QuerySet[Run]) -> None:
        for run in chosen:
            _kill(request, run)


def _kill(request: HttpRequest, run: Run) -> None:
    try:
        send_kill(run, request.user)
    except Conflict as conflict:
        messages.error(request, f"{run}: {conflict}")
    except CoordinationError as error:
        messages.error(request, _("%(name)s: etcd cannot be used: %(error)s") % {"name": run, "error": error})
    else:
        messages.success(request, _("%(name)s: the order to end it is on its way.") % {"name": run})
