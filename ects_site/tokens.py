"""Tokens of the API: a user name and a password become one, and it is taken back."""

from django.contrib.auth import authenticate
from django.contrib.auth.models import User
from django.contrib.auth.signals import user_logged_out
from django.core.cache import caches
from drf_spectacular.utils import extend_schema, inline_serializer
from knox.auth import TokenAuthentication
from knox.models import AuthToken
from rest_framework import permissions, serializers, status
from rest_framework.authentication import BaseAuthentication
from rest_framework.exceptions import AuthenticationFailed
from rest_framework.permissions import BasePermission
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.throttling import AnonRateThrottle
from rest_framework.views import APIView


class CredentialsSerializer(serializers.Serializer):
    """User name and password."""

    username = serializers.CharField(max_length=150)
    password = serializers.CharField(max_length=1000, trim_whitespace=False)


class TokenThrottle(AnonRateThrottle):
    """For one address; django-axes counts wrong passwords for each name."""

    rate = "120/min"
    cache = caches["process"]


class TokenView(APIView):
    """``/api/v1/auth/token/``: a token for ``Authorization: Bearer <token>``, by POST; its end, by DELETE."""

    throttle_classes = [TokenThrottle]

    def get_authenticators(self) -> list[BaseAuthentication]:
        """Whoever wants a token has none; a session is none that could be taken back here."""
        return [TokenAuthentication()] if self._is_end() else []

    def get_permissions(self) -> list[BasePermission]:
        """Passwords are for everybody to try, as often as the throttle lets them."""
        return [permissions.IsAuthenticated()] if self._is_end() else [permissions.AllowAny()]

    @extend_schema(
        request=CredentialsSerializer,
        responses=inline_serializer("Token", {"token": serializers.CharField()}),
    )
    def post(self, request: Request) -> Response:
        """200 with the token; 401 for a wrong user name or password, 429 after too many of them."""
        serializer = CredentialsSerializer(data=request.data)
        serializer.is_valid(raise_exception=True)
        user = authenticate(request._request, **serializer.validated_data)
        if user is None or not user.is_active:
            raise AuthenticationFailed("User name or password is wrong.")
        _row, token = AuthToken.objects.create(user)
        return Response({"token": token})

    @extend_schema(request=None, responses={204: None})
    def delete(self, request: Request) -> Response:
        """204: the token that came with it is good no longer; 401 for one that is none."""
        request.auth.delete()
        user_logged_out.send(sender=User, request=request._request, user=request.user)
        return Response(status=status.HTTP_204_NO_CONTENT)

    def get_authenticate_header(self, request: Request) -> str:
        """Makes the refusal a 401."""
        return "Bearer"

    def _is_end(self) -> bool:
        return bool(self.request and self.request.method == "DELETE")
