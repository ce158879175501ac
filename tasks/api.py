"""The API of tasks and secrets: ``/api/v1/tasks/`` and ``/api/v1/secrets/``."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from django.db import IntegrityError, transaction
from django.db.models import ProtectedError
from django.utils.translation import gettext as _
from rest_framework import serializers, status, viewsets
from rest_framework.exceptions import APIException

from tasks.models import Secret, Task
from tasks.validation import MAX_ENTRIES, MAX_TEXT, MAX_VALUE, task_errors


class TextMapField(serializers.DictField):
    """Names and values, both texts."""

    child = serializers.CharField(allow_blank=True, trim_whitespace=False, max_length=MAX_VALUE)


class TaskSerializer(serializers.ModelSerializer):
    """A task; which fields matter depends on its kind."""

    content = serializers.CharField(
        required=False, allow_blank=True, trim_whitespace=False, max_length=MAX_TEXT, style={"rows": 10}
    )
    headers = TextMapField(required=False)
    recipients = serializers.ListField(
        required=False, child=serializers.CharField(max_length=320), max_length=MAX_ENTRIES
    )

    class Meta:
        model = Task
        fields = [
            "id", "name", "kind", "content", "interpreter", "url", "method", "headers", "expect_status", "expect_text",
            "verify_tls", "follow_redirects", "signing_secret", "recipients", "subject", "description",
            "created_at", "updated_at",
        ]  # fmt: skip

    def validate_method(self, method: str) -> str:
        """``post`` is as good as ``POST``."""
        return method.upper()

    def validate(self, attrs: dict[str, Any]) -> dict[str, Any]:
        """The rules of the kind, on the task as it will stand."""
        candidate = Task()
        for field in Task._meta.concrete_fields:
            value = attrs.get(field.name, getattr(self.instance, field.attname, None) if self.instance else None)
            if field.name in attrs or self.instance:
                setattr(candidate, field.attname, value)
        if errors := task_errors(candidate):
            raise serializers.ValidationError(errors)
        return attrs


class SecretSerializer(serializers.ModelSerializer):
    """A secret; its value goes in and never comes out."""

    value = serializers.CharField(
        write_only=True, allow_blank=True, trim_whitespace=False, max_length=MAX_VALUE, style={"input_type": "password"}
    )

    class Meta:
        model = Secret
        fields = ["id", "name", "value", "description", "created_at", "updated_at"]

    def validate_name(self, name: str) -> str:
        """Texts refer to a secret by its name: it stays."""
        if self.instance is not None and name != self.instance.name:
            raise serializers.ValidationError(_("The name of a secret cannot change: make a new one instead."))
        return name

    def create(self, validated_data: dict[str, Any]) -> Secret:
        secret = Secret()
        return self.update(secret, validated_data)

    def update(self, instance: Secret, validated_data: dict[str, Any]) -> Secret:
        if (value := validated_data.pop("value", None)) is not None:
            instance.set_value(value)
        return super().update(instance, validated_data)


class Conflicting(APIException):
    """409, with what to do."""

    status_code = status.HTTP_409_CONFLICT


@contextmanager
def one_write() -> Iterator[None]:
    """One transaction; 409 when somebody else's write came in between what was checked and what was written."""
    try:
        with transaction.atomic():
            yield
    except IntegrityError:
        raise Conflicting(_("Somebody else changed this at the same time: look at it and try again.")) from None


class DefinitionViewSet(viewsets.ModelViewSet):
    """Each write is one transaction; what it changes is published after its commit."""

    def perform_create(self, serializer: serializers.BaseSerializer) -> None:
        with one_write():
            serializer.save()

    def perform_update(self, serializer: serializers.BaseSerializer) -> None:
        with one_write():
            serializer.save()

    def perform_destroy(self, instance: Any) -> None:
        try:
            with transaction.atomic():
                instance.delete()
        except ProtectedError as error:
            users = sorted({str(getattr(user, "pipeline", user)) for user in error.protected_objects})
            raise Conflicting(_("Still in use by: %(users)s.") % {"users": ", ".join(users[:5])}) from None


class TaskViewSet(DefinitionViewSet):
    """Tasks. One that is used by a pipeline cannot be deleted (409)."""

    queryset = Task.objects.all()
    serializer_class = TaskSerializer
    filterset_fields = ["name", "kind"]


class SecretViewSet(DefinitionViewSet):
    """Secrets, by name. Values cannot be read back."""

    queryset = Secret.objects.all()
    serializer_class = SecretSerializer
    filterset_fields = ["name"]


routes = [("tasks", TaskViewSet, "task"), ("secrets", SecretViewSet, "secret")]
