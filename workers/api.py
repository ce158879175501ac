"""Nodes, enrolment tokens, and the door by which hosts join."""

import base64
import binascii
from collections.abc import Callable
from datetime import datetime
from pathlib import Path
from typing import Any
from uuid import UUID

from django.conf import settings
from django.core.cache import caches
from django.utils import timezone
from drf_spectacular.utils import extend_schema
from rest_framework import mixins, permissions, serializers, status
from rest_framework.decorators import action
from rest_framework.exceptions import APIException, PermissionDenied
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.throttling import AnonRateThrottle
from rest_framework.views import APIView
from rest_framework.viewsets import GenericViewSet, ModelViewSet

from coordination.errors import CoordinationError
from workers import accounts, enrolment, keyring, lifecycle
from workers.enrolment import Admission, Applicant
from workers.models import EnrolmentToken, Node


class LabelsField(serializers.DictField):
    """A map of short texts."""

    child = serializers.CharField(max_length=200, allow_blank=True)


class NodeSerializer(serializers.ModelSerializer):
    """A node. Name, description and labels can be changed; the rest is what the node says of itself."""

    status = serializers.ChoiceField(["online", "offline"], read_only=True)
    labels = LabelsField(required=False)
    is_rotating = serializers.BooleanField(read_only=True, help_text="It has another token that it has not used yet.")
    is_revoked = serializers.BooleanField(read_only=True, help_text="Its deliveries are refused until it joins again.")

    class Meta:
        model = Node
        fields = [
            "id",
            "name",
            "description",
            "host",
            "mode",
            "status",
            "version",
            "labels",
            "last_seen",
            "started_at",
            "capacity",
            "running",
            "backlog",
            "clock_skew",
            "draining",
            "drain_asked_at",
            "retired_at",
            "is_rotating",
            "is_revoked",
            "etcd_connected",
            "incidents",
        ]
        read_only_fields = [name for name in fields if name not in ("name", "description", "labels")]


class MayChange(permissions.DjangoModelPermissions):
    """Acting on something asks for the permission to change it."""

    perms_map = {**permissions.DjangoModelPermissions.perms_map, "POST": ["%(app_label)s.change_%(model_name)s"]}


class MayDelete(permissions.DjangoModelPermissions):
    """What takes something out of service asks for the permission to delete it, as the console does."""

    perms_map = {**permissions.DjangoModelPermissions.perms_map, "POST": ["%(app_label)s.delete_%(model_name)s"]}


class Impossible(APIException):
    """409, with the sentence that says what to do."""

    status_code = status.HTTP_409_CONFLICT


class NodeViewSet(ModelViewSet):
    """The hosts of the cluster. One made here waits for a host to join under its name, or with a token for it."""

    queryset = Node.objects.all()
    serializer_class = NodeSerializer
    filterset_fields = ["name", "mode", "online"]

    def perform_update(self, serializer: Any) -> None:
        """A node that is renamed learns it."""
        serializer.instance = lifecycle.describe(serializer.instance.pk, serializer.validated_data, timezone.now())

    @extend_schema(request=None, responses=NodeSerializer)
    @action(detail=True, methods=["post"], permission_classes=[MayChange], serializer_class=serializers.Serializer)
    def drain(self, request: Request, pk: str | None = None) -> Response:
        """It begins nothing new and ends what runs, until it is undrained; 409 when its worker is too old."""
        return self._act(lifecycle.drain)

    @extend_schema(request=None, responses=NodeSerializer)
    @action(detail=True, methods=["post"], permission_classes=[MayChange], serializer_class=serializers.Serializer)
    def undrain(self, request: Request, pk: str | None = None) -> Response:
        """It fires again, from the next instant on."""
        return self._act(lifecycle.undrain)

    @extend_schema(request=None, responses=NodeSerializer)
    @action(detail=True, methods=["post"], permission_classes=[MayChange], serializer_class=serializers.Serializer)
    def rotate(self, request: Request, pk: str | None = None) -> Response:
        """It gets another token with its next delivery; the old one is good until the new one was used."""
        return self._act(lifecycle.rotate)

    @extend_schema(request=None, responses=NodeSerializer)
    @action(detail=True, methods=["post"], permission_classes=[MayDelete], serializer_class=serializers.Serializer)
    def retire(self, request: Request, pk: str | None = None) -> Response:
        """Its bindings and tokens go, its history stays. It comes back only by a token made for it."""
        return self._act(lifecycle.retire)

    @extend_schema(request=None, responses=NodeSerializer)
    @action(detail=True, methods=["post"], permission_classes=[MayChange], serializer_class=serializers.Serializer)
    def revoke(self, request: Request, pk: str | None = None) -> Response:
        """Its tokens are no longer good: it goes on firing, but delivers nothing until it has joined again."""
        return self._act(lifecycle.revoke_one)

    def _act(self, act: Callable[[UUID, datetime], Node]) -> Response:
        try:
            node = act(self.get_object().pk, timezone.now())
        except lifecycle.Impossible as error:
            raise Impossible(str(error)) from None
        return Response(NodeSerializer(node, context=self.get_serializer_context()).data)


class EnrolmentTokenSerializer(serializers.ModelSerializer):
    """``expires_in``: seconds. The token itself is shown once, in the answer that makes it."""

    node = serializers.PrimaryKeyRelatedField(
        queryset=Node.objects.all(), allow_null=True, required=False, default=None
    )
    uses = serializers.IntegerField(min_value=1, max_value=10_000, default=1)
    expires_in = serializers.IntegerField(min_value=1, max_value=31_536_000, default=3600, write_only=True)

    class Meta:
        model = EnrolmentToken
        fields = ["id", "node", "uses", "expires_in", "expires_at", "created_at"]
        read_only_fields = ["id", "expires_at", "created_at"]


class EnrolmentTokenViewSet(
    mixins.CreateModelMixin,
    mixins.ListModelMixin,
    mixins.RetrieveModelMixin,
    mixins.DestroyModelMixin,
    GenericViewSet,
):
    """Tokens with which hosts join."""

    queryset = EnrolmentToken.objects.all()
    serializer_class = EnrolmentTokenSerializer

    def create(self, request: Request, *args: Any, **kwargs: Any) -> Response:
        """The only answer that holds the token."""
        serializer = self.get_serializer(data=request.data)
        serializer.is_valid(raise_exception=True)
        asked = serializer.validated_data
        token, row = enrolment.make_token(
            now=timezone.now(),
            node=asked["node"].pk if asked["node"] else None,
            uses=asked["uses"],
            expires_in=asked["expires_in"],
            user=request.user,
        )
        return Response({"token": token, **self.get_serializer(row).data}, status=status.HTTP_201_CREATED)


class ApplicantSerializer(serializers.Serializer):
    """What a host sends when it asks to join."""

    token = serializers.CharField(max_length=200)
    name = serializers.CharField(max_length=150)
    public_key = serializers.CharField(max_length=64)
    machine_id = serializers.CharField(max_length=64, allow_blank=True, default="")
    host = serializers.CharField(max_length=255, allow_blank=True, default="")
    version = serializers.CharField(max_length=50, allow_blank=True, default="")
    description = serializers.CharField(max_length=500, allow_blank=True, default="")
    node = serializers.UUIDField(allow_null=True, default=None)
    labels = LabelsField(default=dict)

    def validate_public_key(self, value: str) -> bytes:
        """32 bytes in base64."""
        try:
            key = base64.b64decode(value, validate=True)
        except (binascii.Error, ValueError):
            key = b""
        if len(key) != 32:
            raise serializers.ValidationError("32 bytes in base64 are needed (an X25519 public key).")
        return key


class EtcdAccessSerializer(serializers.Serializer):
    """How the host reaches etcd. Of files, the paths as the console has them."""

    endpoints = serializers.ListField(child=serializers.CharField(), help_text="HOST:PORT of each member.")
    prefix = serializers.CharField(help_text="All keys are below it.")
    user = serializers.CharField(allow_blank=True, help_text="The node's own; empty while etcd asks for none.")
    password = serializers.CharField(allow_blank=True, help_text="Of that user, new with each enrolment.")
    ca = serializers.CharField(allow_blank=True, help_text="Path of the authority's certificate; empty without TLS.")
    ca_certificate = serializers.CharField(allow_blank=True, help_text="What stands in that file (PEM).")
    certificate = serializers.CharField(allow_blank=True, help_text="Path of a client certificate.")
    key = serializers.CharField(allow_blank=True, help_text="Path of its key.")


class IdentitySerializer(serializers.Serializer):
    """Who the host is from now on. It keeps this by itself; nobody is told the token again."""

    node = serializers.UUIDField(help_text="The node's id.")
    name = serializers.CharField(help_text="The node's name.")
    token = serializers.CharField(help_text="With it the node delivers, as Authorization: Node <token>.")
    verify_keys = serializers.DictField(
        child=serializers.CharField(), help_text="The keys that sign definitions (Ed25519, base64), by their ids."
    )
    etcd = EtcdAccessSerializer(help_text="How it reaches etcd.")


class EnrolThrottle(AnonRateThrottle):
    """Guessing tokens is hopeless; trying is also slow."""

    rate = "120/min"
    cache = caches["process"]


class EnrolView(APIView):
    """``POST /api/v1/enrol/``: a host exchanges an enrolment token for its identity."""

    authentication_classes: list[Any] = []
    permission_classes = [permissions.AllowAny]
    throttle_classes = [EnrolThrottle]
    serializer_class = ApplicantSerializer

    @extend_schema(request=ApplicantSerializer, responses=IdentitySerializer)
    def post(self, request: Request) -> Response:
        """200 with the identity; 403 for a token that is no good, 409 for a name or node that is another host's, 503
        while etcd cannot give the node a user."""
        serializer = ApplicantSerializer(data=request.data)
        serializer.is_valid(raise_exception=True)
        asked = dict(serializer.validated_data)
        token = asked.pop("token")
        try:
            admission = enrolment.enrol(token, Applicant(**asked), timezone.now())
        except enrolment.Refused as error:
            raise PermissionDenied(str(error)) from None
        except enrolment.Taken as error:
            return Response({"detail": str(error)}, status=status.HTTP_409_CONFLICT)
        except (accounts.Unmanageable, CoordinationError) as error:
            return Response({"detail": str(error)}, status=status.HTTP_503_SERVICE_UNAVAILABLE)
        return Response(_identity(admission))


def _identity(admission: Admission) -> dict[str, Any]:
    etcd = settings.ECTS_ETCD
    return {
        "node": str(admission.node.pk),
        "name": admission.node.name,
        "token": admission.token,
        "verify_keys": {name: base64.b64encode(key).decode() for name, key in keyring.verify_keys().items()},
        "etcd": {
            "endpoints": list(etcd.endpoints),
            "prefix": settings.ECTS_ETCD_PREFIX,
            "user": admission.etcd.user,
            "password": admission.etcd.password,
            "ca": etcd.ca,
            "ca_certificate": Path(etcd.ca).read_text() if etcd.ca else "",
            "certificate": etcd.certificate,
            "key": etcd.key,
        },
    }


routes = [("nodes", NodeViewSet, "node"), ("enrolment-tokens", EnrolmentTokenViewSet, "enrolment-token")]
