"""The edge of the API: its root, and the shape of errors."""

import logging
from typing import Any

from django.conf import settings
from django.db import InterfaceError, OperationalError
from django.db.models import ProtectedError
from django.http import HttpRequest, HttpResponse, JsonResponse
from django.template.loader import render_to_string
from django.utils.translation import gettext as _
from django.views import defaults
from rest_framework import status
from rest_framework.response import Response
from rest_framework.routers import APIRootView
from rest_framework.views import exception_handler as drf_exception_handler

from coordination.errors import CoordinationError
from ects_site import web_metrics

log = logging.getLogger(__name__)


def exception_handler(exc: Exception, context: dict[str, Any]) -> Response | None:
    """DRF's errors, 409 for what is still in use elsewhere, and 503 when the database or etcd is away."""
    if isinstance(exc, ProtectedError):
        users = ", ".join(sorted({str(user) for user in exc.protected_objects})[:5])
        return Response({"detail": f"Still in use by: {users}."}, status=status.HTTP_409_CONFLICT)
    if isinstance(exc, OperationalError | InterfaceError | CoordinationError):
        part = "etcd" if isinstance(exc, CoordinationError) else "The database"
        log.error("%s does not answer: %s", part, exc)
        if not isinstance(exc, CoordinationError):
            web_metrics.database_failed()
        detail = f"{part} does not answer now: try again in a moment."
        return Response({"detail": detail}, status.HTTP_503_SERVICE_UNAVAILABLE, headers={"Retry-After": "2"})
    return drf_exception_handler(exc, context)


class Root(APIRootView):
    """What there is, by its name, for programs. They sign in at auth/token/; a browser's sign-in at the console is good
    here, too."""

    name = "API"


def not_found(request: HttpRequest, exception: Exception) -> HttpResponse:
    """404: JSON below ``/api/``, else Django's page."""
    if request.path.startswith("/api/"):
        return JsonResponse({"detail": "There is nothing at this address; /api/v1/ lists what there is."}, status=404)
    return defaults.page_not_found(request, exception)


def server_error(request: HttpRequest) -> HttpResponse:
    """500: JSON below ``/api/``, else Django's page."""
    if request.path.startswith("/api/"):
        return JsonResponse({"detail": "An error of ours; the server's log has it."}, status=500)
    return defaults.server_error(request)


def locked_out(request: HttpRequest, response: HttpResponse | None = None, credentials: Any = None) -> HttpResponse:
    """429, what django-axes answers to too many wrong passwords: JSON below ``/api/``."""
    said = _("Too many wrong passwords: wait for a quarter of an hour, or ask an administrator.")
    headers = {"Retry-After": str(int(settings.AXES_COOLOFF_TIME * 3600))}
    if request.path.startswith("/api/"):
        return JsonResponse({"detail": said}, status=429, headers=headers)
    return HttpResponse(render_to_string("ects/locked_out.html", {"said": said}, request), status=429, headers=headers)
