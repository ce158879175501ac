"""How pipelines look in the API: steps nested and written as a whole, nodes as a list of ids."""

from datetime import datetime
from typing import Any
from uuid import UUID

from django.utils.timezone import now
from django.utils.translation import gettext as _
from drf_spectacular.utils import extend_schema_field
from rest_framework import serializers

from pipelines.models import Binding, Calendar, Control, Pipeline, Step
from pipelines.schedules import PREVIEW, upcoming
from pipelines.validation import LIMITS, MAX_STEPS, enabling_errors, environment_error, pipeline_errors, step_errors
from tasks.api import TextMapField
from tasks.models import Task
from workers.models import Node


class StepSerializer(serializers.ModelSerializer):
    """A task in its place. Without a position it comes after the step before it."""

    task = serializers.PrimaryKeyRelatedField(queryset=Task.objects.all())
    position = serializers.IntegerField(required=False, min_value=0)
    environment = TextMapField(required=False)

    class Meta:
        model = Step
        fields = [
            "task", "position", "dependence", "timeout", "retries", "interval", "directory", "user", "environment",
            "group", "umask", "nice", "memory", "cpu_seconds", "open_files", "processes",
        ]  # fmt: skip

    def validate(self, attrs: dict[str, Any]) -> dict[str, Any]:
        if errors := step_errors(Step(**attrs)):
            raise serializers.ValidationError(errors)
        return attrs


@extend_schema_field(serializers.ListField(child=serializers.UUIDField()))
class NodesField(serializers.Field):
    """Ids of the workers that the pipeline is bound to by name."""

    def to_representation(self, value: Any) -> list[str]:
        return sorted(str(binding.node_id) for binding in value.all())

    def to_internal_value(self, data: Any) -> set[UUID]:
        if not isinstance(data, list):
            raise serializers.ValidationError(_("Give a list of node ids."))
        ids = {serializers.UUIDField().run_validation(one) for one in data}
        known = set(Node.objects.serving().filter(pk__in=ids).values_list("pk", flat=True))
        if unknown := sorted(str(one) for one in ids - known):
            raise serializers.ValidationError(_("There is no worker %(id)s.") % {"id": unknown[0]})
        return ids


class PipelineSerializer(serializers.ModelSerializer):
    """A pipeline with its steps and nodes.

    ``published``: etcd shows every change. ``next_fires``: what the schedule gives, enabled or not.
    """

    id = serializers.UUIDField(read_only=True)
    steps = StepSerializer(many=True, required=False, max_length=MAX_STEPS)  # type: ignore[call-arg]
    nodes = NodesField(source="bindings", required=False)
    node_labels = TextMapField(required=False)
    published = serializers.SerializerMethodField()
    next_fires = serializers.SerializerMethodField()

    class Meta:
        model = Pipeline
        fields = [
            "id", "name", "description", "enabled", "paused", "schedule", "timezone", "dst_gap", "dst_repeat",
            "starts_at", "ends_at", *LIMITS, "calendars", "misfire", "overlap", "placement", "on_node_loss",
            "on_success", "on_failure", "steps", "nodes", "node_labels", "published", "next_fires", "created_at",
            "updated_at",
        ]  # fmt: skip
        read_only_fields = ["paused"]

    def get_published(self, pipeline: Pipeline) -> bool:
        return pipeline.is_published()

    def get_next_fires(self, pipeline: Pipeline) -> list[str]:
        return [iso(instant) for instant in upcoming(pipeline, now())]

    def validate(self, attrs: dict[str, Any]) -> dict[str, Any]:
        """The rules on the pipeline as it will stand, steps included."""
        candidate = Pipeline()
        for field in Pipeline._meta.concrete_fields:
            if self.instance is not None:
                setattr(candidate, field.attname, getattr(self.instance, field.attname))
            if field.name in attrs:
                setattr(candidate, field.name, attrs[field.name])
        steps = _numbered(attrs["steps"]) if "steps" in attrs else self._present_steps()
        calendars = attrs.get("calendars", None if self.instance is not None else ())
        errors = pipeline_errors(candidate, now(), calendars) or enabling_errors(candidate, steps)
        if errors:
            raise serializers.ValidationError(errors)
        return attrs

    def create(self, validated_data: dict[str, Any]) -> Pipeline:
        return self._write(Pipeline(), validated_data)

    def update(self, instance: Pipeline, validated_data: dict[str, Any]) -> Pipeline:
        return self._write(instance, validated_data)

    def _present_steps(self) -> list[Step]:
        return list(self.instance.steps.select_related("task")) if self.instance is not None else []

    def _write(self, pipeline: Pipeline, values: dict[str, Any]) -> Pipeline:
        steps, nodes = values.pop("steps", None), values.pop("bindings", None)
        calendars = values.pop("calendars", None)
        for name, value in values.items():
            setattr(pipeline, name, value)
        pipeline.save()
        if calendars is not None:
            pipeline.calendars.set(calendars)
        if steps is not None:
            _replace_steps(pipeline, _numbered(steps, pipeline))
        if nodes is not None:
            pipeline.bindings.exclude(node__in=nodes).delete()
            bound = set(pipeline.bindings.values_list("node", flat=True))
            Binding.objects.bulk_create(Binding(pipeline=pipeline, node_id=node) for node in sorted(nodes - bound))
        return Pipeline.objects.get(pk=pipeline.pk)


class RunRequest(serializers.Serializer):
    """What a run by hand may be given."""

    environment = TextMapField(required=False)

    def validate_environment(self, value: dict[str, str]) -> dict[str, str]:
        if problem := environment_error(value):
            raise serializers.ValidationError(problem)
        return value


class TrialRequest(serializers.Serializer):
    """On which worker a task is tried."""

    node = serializers.PrimaryKeyRelatedField(queryset=Node.objects.serving())


class RunsSerializer(serializers.Serializer):
    """The runs that were ordered."""

    runs = serializers.ListField(child=serializers.UUIDField())


class ControlSerializer(serializers.ModelSerializer):
    """The global pause switch."""

    paused = serializers.BooleanField()
    published = serializers.SerializerMethodField()

    class Meta:
        model = Control
        fields = ["paused", "published"]

    def get_published(self, control: Control) -> bool:
        return control.published >= control.generation


class PreviewQuery(serializers.Serializer):
    """The parameters of the preview."""

    schedule = serializers.CharField()
    timezone = serializers.CharField(default="UTC")
    dst_gap = serializers.CharField(default="shift")
    dst_repeat = serializers.CharField(default="first")
    key = serializers.CharField(default="", allow_blank=True)
    calendars = serializers.PrimaryKeyRelatedField(
        many=True, queryset=Calendar.objects.prefetch_related("entries"), required=False
    )
    after = serializers.DateTimeField(default=now)
    count = serializers.IntegerField(default=PREVIEW, min_value=1, max_value=1000)


class PreviewSerializer(serializers.Serializer):
    """What a schedule means."""

    fires = serializers.ListField(child=serializers.DateTimeField())
    words = serializers.CharField()


class ExplainQuery(serializers.Serializer):
    """What is asked of ``explain``. Without an offset ``at`` is taken in the pipeline's zone."""

    at = serializers.CharField()
    node = serializers.CharField(required=False, help_text="name or id; each bound node without it")


class AnswerSerializer(serializers.Serializer):
    """For one node; ``node`` is empty for a pipeline that one of its nodes runs."""

    node = serializers.CharField()
    verdict = serializers.CharField()
    sentences = serializers.ListField(child=serializers.CharField())
    runs = serializers.ListField(child=serializers.UUIDField())


class ExplanationSerializer(serializers.Serializer):
    """``before`` and ``after`` are the schedule's instants around ``at``."""

    pipeline = serializers.CharField()
    at = serializers.DateTimeField()
    before = serializers.DateTimeField(allow_null=True)
    after = serializers.DateTimeField(allow_null=True)
    answers = AnswerSerializer(many=True)


def iso(instant: datetime) -> str:
    """ISO 8601 in UTC, as the API writes instants."""
    return instant.isoformat().replace("+00:00", "Z")


def _replace_steps(pipeline: Pipeline, steps: list[Step]) -> None:
    """Equal ones stay, so that what changes nothing is not written down as a change."""
    wanted = sorted(steps, key=lambda step: step.position)
    if [_content(step) for step in wanted] == [_content(step) for step in pipeline.steps.order_by("position", "id")]:
        return
    pipeline.steps.all().delete()
    Step.objects.bulk_create(steps)


def _content(step: Step) -> list[Any]:
    attributes = (Step._meta.get_field(name).attname for name in StepSerializer.Meta.fields)  # type: ignore[union-attr]
    return [getattr(step, attribute) for attribute in attributes]


def _numbered(steps: list[dict[str, Any]], pipeline: Pipeline | None = None) -> list[Step]:
    """Steps in their order; one without a position comes after the one before it."""
    result: list[Step] = []
    for values in steps:
        position = values.get("position", result[-1].position + 1 if result else 1)
        result.append(Step(**{**values, "position": position}, pipeline=pipeline))
    return result
