"""What can be ordered from the page of a run, run it again and end it, and what is known of its definition."""

from collections.abc import Callable
from datetime import UTC, datetime
from uuid import UUID

from django.contrib import messages
from django.contrib.auth.decorators import permission_required
from django.http import HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404, redirect
from django.urls import reverse
from django.utils.timezone import localtime
from django.utils.translation import gettext as _
from django.views.decorators.http import require_POST

from coordination.errors import CoordinationError
from logs.models import Run
from logs.run_neighbours import Definition, Knowledge, Order
from pipelines import commands
from pipelines.models import Pipeline
from workers.models import Node

MAY_RUN = "pipelines.change_pipeline"
MAY_KILL = "logs.change_run"
"""As for the same orders from the lists and over the API. (History is not changed, but what runs can be ended.)"""


def knowledge(request: HttpRequest, run: Run) -> Knowledge:
    """For the page of the run, as the viewer may see and do it."""
    pipeline = Pipeline.objects.filter(pk=run.pipeline).first()
    sees = may_see(request)
    sees_nodes = request.user.has_perm("workers.view_node") and Node.objects.filter(pk=run.node).exists()
    return Knowledge(
        orders=tuple(_orders(request, run, pipeline)),
        definition=_definition(run, pipeline, sees) if run.generation else None,
        pipeline_url=reverse("admin:pipelines_pipeline_change", args=[pipeline.pk]) if pipeline and sees else "",
        node_url=reverse("admin:workers_node_change", args=[run.node]) if sees_nodes else "",
    )


def may_see(request: HttpRequest) -> bool:
    """Definitions."""
    return request.user.has_perm("pipelines.view_pipeline") or request.user.has_perm(MAY_RUN)


def _orders(request: HttpRequest, run: Run, pipeline: Pipeline | None) -> list[Order]:
    found = []
    if pipeline is not None and request.user.has_perm(MAY_RUN):
        question = _("Run %(name)s again, once, on each of its nodes, as it is defined now?")
        if pipeline.is_shared:
            question = _("Run %(name)s again, once, on one of its nodes, as it is defined now?")
        url = reverse("admin:pipelines_run_again", args=[run.uuid])
        found.append(Order("again", _("Run again"), url, question % {"name": pipeline.name}))
    if run.state == Run.State.RUNNING and request.user.has_perm(MAY_KILL):
        question = _("End this run and all its processes on %(node)s?") % {"node": run.node_name}
        url = reverse("admin:pipelines_run_kill", args=[run.uuid])
        found.append(Order("kill", _("Kill"), url, question, is_grave=True))
    return found


def _definition(run: Run, pipeline: Pipeline | None, sees: bool) -> Definition:
    words = _("of %(instant)s") % {"instant": f"{localtime(generation_instant(run.generation)):%Y-%m-%d %H:%M:%S}"}
    if pipeline is None:
        return Definition(_("%(words)s; the pipeline was deleted") % {"words": words})
    if pipeline.generation <= run.generation:
        return Definition(_("%(words)s, as it is now") % {"words": words})
    url = reverse("admin:pipelines_run_changes", args=[run.uuid])
    return Definition(words, url if sees else "")


def generation_instant(generation: int) -> datetime:
    """A generation is the millisecond of the change, or the next one after its predecessor."""
    return datetime.fromtimestamp(generation / 1000, UTC)


@require_POST
@permission_required(MAY_RUN, raise_exception=True)
def again(request: HttpRequest, run: UUID) -> HttpResponse:
    """Has the pipeline run once, as it is defined now, and leads to the new run."""
    row = get_object_or_404(Run, uuid=run)
    pipeline = get_object_or_404(Pipeline, pk=row.pipeline)
    made: list[UUID] = []
    _try(request, lambda: made.extend(commands.send_run(pipeline, {}, request.user)))
    if not made:
        return _back(row)
    messages.success(request, _("%(name)s: sent to its nodes.") % {"name": pipeline.name})
    return _back(Run.objects.filter(uuid__in=made).order_by("pk").first() or row)


@require_POST
@permission_required(MAY_KILL, raise_exception=True)
def kill(request: HttpRequest, run: UUID) -> HttpResponse:
    """Has its node end it; the page follows it to its end."""
    row = get_object_or_404(Run, uuid=run)
    if _try(request, lambda: commands.send_kill(row, request.user)):
        messages.success(request, _("The order to end it is on its way."))
    return _back(row)


def _try(request: HttpRequest, act: Callable[[], None]) -> bool:
    try:
        act()
    except commands.Conflict as conflict:
        messages.error(request, str(conflict))
        return False
    except CoordinationError as error:
        messages.error(request, _("etcd cannot be used: %(error)s") % {"error": error})
        return False
    return True


def _back(run: Run) -> HttpResponse:
    return redirect("admin:logs_run_change", run.pk)
