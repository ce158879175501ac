"""Tells who saves in the admin that a change has not reached the workers yet."""

from collections.abc import Callable
from uuid import UUID

from django.contrib import messages
from django.http import HttpRequest, HttpResponse
from django.utils.translation import gettext as _

from pipelines import outbox, publishing
from pipelines.models import Pipeline
from workers.models import Node


class PublicationNotices:
    """Middleware, inside that of messages: looks at what the request has marked once it is committed."""

    def __init__(self, get_response: Callable[[HttpRequest], HttpResponse]) -> None:
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponse:
        publishing.held_back()
        response = self.get_response(request)
        late = publishing.held_back()
        if late and request.path.startswith("/admin/"):
            messages.warning(request, _notice(late))
        return response


def _notice(late: set[UUID]) -> str:
    names = list(Pipeline.objects.filter(pk__in=late).values_list("name", flat=True)[:5])
    text = _("Saved, not yet published: %(names)s (%(why)s). It is tried again until it succeeds.")
    return text % {"names": ", ".join(names) or _("a removal"), "why": _why(late)}


def _why(late: set[UUID]) -> str:
    rows = outbox.unpublished(late)
    if error := rows.exclude(error="").values_list("error", flat=True).first():
        return error
    waiting = Node.objects.filter(pk__in=rows.values("node"), public_key=None).values_list("name", flat=True)[:5]
    if waiting:
        return _("not enrolled yet: %(nodes)s") % {"nodes": ", ".join(waiting)}
    return _("there is more to publish than one request waits for")
