"""The edge of the API: signing in and the shape of errors."""

from django.db.models import ProtectedError
from rest_framework import status
from rest_framework.response import Response
from rest_framework.views import exception_handler as drf_exception_handler


def exception_handler(exc: Exception, context: dict) -> Response | None:
    """DRF's errors, and 409 for what is still in use elsewhere."""
    if isinstance(exc, ProtectedError):
        users = ", ".join(sorted({str(user) for user in exc.protected_objects})[:5])
        return Response({"detail": f"Still in use by: {users}."}, status=status.HTTP_409_CONFLICT)
    return drf_exception_handler(exc, context)
