"""Parts of a run's page, and the output of a step to take away."""

from collections.abc import Iterator
from uuid import UUID

from django.http import Http404, HttpRequest, HttpResponse, StreamingHttpResponse
from django.shortcuts import get_object_or_404, render
from django.utils.text import slugify
from django.utils.timezone import now

from logs import run_page
from logs.models import Output, Run, StepRun


def parts(request: HttpRequest, run: UUID) -> HttpResponse:
    """The page without its output, drawn anew: for the script that follows the run."""
    row = get_object_or_404(Run, uuid=run)
    return render(request, "admin/logs/run/parts.html", run_page.context(request, row, now(), None))


def download(request: HttpRequest, run: UUID, step: int) -> StreamingHttpResponse:
    """All that was kept of what a step wrote, byte for byte; a cut in the middle is named, as on the page."""
    row = StepRun.objects.filter(run__uuid=run, index=step).select_related("run").first()
    if row is None:
        raise Http404
    response = StreamingHttpResponse(_bytes(run, step), content_type="application/octet-stream")
    name = f"{slugify(row.run.pipeline_name) or 'run'}-{row.run.scheduled_at:%Y%m%dT%H%M%SZ}-step-{step + 1}.log"
    response.headers["Content-Disposition"] = f'attachment; filename="{name}"'
    response.headers["X-Content-Type-Options"] = "nosniff"
    return response


def _bytes(run: UUID, step: int) -> Iterator[bytes]:
    position = 0
    pieces = Output.objects.filter(run=run, index=step).order_by("number").values_list("offset", "data")
    for offset, data in pieces.iterator():
        if offset > position:
            yield f"\n[... {offset - position} bytes dropped ...]\n".encode()
        yield bytes(data)
        position = offset + len(data)
