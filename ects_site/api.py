"""The edge of the API: signing in, and the shape of errors."""

from typing import Any

from django.contrib.auth import authenticate
from django.db.models import ProtectedError
from drf_spectacular.utils import extend_schema, inline_serializer
from knox.models import AuthToken
from rest_framework import permissions, serializers, status
from rest_framework.exceptions import AuthenticationFailed
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.views import APIView
from rest_framework.views import exception_handler as drf_exception_handler


def exception_handler(exc: Exception, context: dict[str, Any]) -> Response | None:
    """DRF's errors, and 409 for what is still in use elsewhere."""
    if isinstance(exc, ProtectedError):
        users = ", ".join(sorted({str(user) for user in exc.protected_objects})[:5])
        return Response({"detail": f"Still in use by: {users}."}, status=status.HTTP_409_CONFLICT)
    return drf_exception_handler(exc, context)


class CredentialsSerializer(serializers.Serializer):
    """User name and password."""

    username = serializers.CharField(max_length=150)
    password = serializers.CharField(max_length=1000, trim_whitespace=False)


class TokenView(APIView):
    """``POST /api/v1/auth/token/``: a token for ``Authorization: Bearer <token>``. Wrong passwords are throttled."""

    authentication_classes: list[Any] = []
    permission_classes = [permissions.AllowAny]

    @extend_schema(
        request=CredentialsSerializer,
        responses=inline_serializer("Token", {"token": serializers.CharField()}),
    )
    def post(self, request: Request) -> Response:
        """200 with the token; 401 for a wrong user name or password."""
        serializer = CredentialsSerializer(data=request.data)
        serializer.is_valid(raise_exception=True)
        user = authenticate(request._request, **serializer.validated_data)
        if user is None or not user.is_active:
            raise AuthenticationFailed("User name or password is wrong, or there were too many tries: wait a while.")
        _, token = AuthToken.objects.create(user)
        return Response({"token": token})

    def get_authenticate_header(self, request: Request) -> str:
        """Makes the refusal a 401."""
        return "Bearer"
