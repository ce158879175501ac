"""The page that says what of a pipeline has changed since a run, and the addresses of what belongs to a run."""

from typing import Any
from uuid import UUID

from django.contrib.admin import AdminSite
from django.core.exceptions import PermissionDenied
from django.http import HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404
from django.template.response import TemplateResponse
from django.urls import path
from django.utils.translation import gettext as _

from logs.models import Run
from pipelines import differences, editions, rendering, run_orders
from pipelines.models import Pipeline
from pipelines.rendering import Source


def urls(site: AdminSite) -> list[Any]:
    """Below the pipelines of the admin."""

    def changes_view(request: HttpRequest, run: UUID) -> HttpResponse:
        return changes(site, request, run)

    views = {"changes": changes_view, "again": run_orders.again, "kill": run_orders.kill}
    return [
        path(f"run/<uuid:run>/{name}/", site.admin_view(view), name=f"pipelines_run_{name}")
        for name, view in views.items()
    ]


def changes(site: AdminSite, request: HttpRequest, run: UUID) -> HttpResponse:
    """From the generation that the run ran on to the definition as it is saved now."""
    row = get_object_or_404(Run, uuid=run)
    pipeline = get_object_or_404(Pipeline, pk=row.pipeline)
    if not (request.user.has_perm("logs.view_run") and run_orders.may_see(request)):
        raise PermissionDenied
    before = editions.at(row.pipeline, row.generation)
    source = rendering.read([pipeline.pk]).get(pipeline.pk)
    after = editions.content(source) if isinstance(source, Source) else None
    context = {
        **site.each_context(request),
        "title": f"{row}: {_('What changed since this run')}",
        "opts": row._meta,
        "original": row,
        "run": row,
        "pipeline": pipeline,
        "then": run_orders.generation_instant(row.generation),
        "today": run_orders.generation_instant(pipeline.generation),
        "is_known": before is not None and after is not None,
        "groups": differences.between(before, after) if before is not None and after is not None else [],
    }
    return TemplateResponse(request, "admin/pipelines/pipeline/run_changes.html", context)
