"""Runs, newest first, with their steps and what these wrote."""

from typing import Any
from uuid import UUID

import django_filters
from django.http import HttpResponse
from rest_framework import serializers
from rest_framework.decorators import action
from rest_framework.exceptions import NotFound
from rest_framework.pagination import CursorPagination
from rest_framework.request import Request
from rest_framework.viewsets import ReadOnlyModelViewSet

from logs.lateness import lateness
from logs.models import Run, StepRun
from logs.output import texts

LISTED_OUTPUT = 4096
"""Characters of each step's output (its end) in a list; a single run has it all."""


class StepRunSerializer(serializers.ModelSerializer):
    """A step. In a list of runs, ``output`` is the last 4,096 characters; a single run has all that was kept."""

    output = serializers.SerializerMethodField()

    class Meta:
        model = StepRun
        fields = [
            "index",
            "position",
            "role",
            "task",
            "task_name",
            "kind",
            "state",
            "reason",
            "attempts",
            "tries",
            "exit_code",
            "http_status",
            "started_at",
            "finished_at",
            "output_bytes",
            "output_dropped",
            "output",
        ]

    def get_output(self, step: StepRun) -> str:
        """Text; bytes that are no UTF-8 are replaced."""
        return self.context["outputs"].get((step.run_id, step.index), "")


class RunSerializer(serializers.ModelSerializer):
    """A run, or a fire that did not run. ``count`` above 1: so many fires up to ``until`` with one fate."""

    id = serializers.UUIDField(source="uuid")
    late_by = serializers.SerializerMethodField(help_text="seconds from the scheduled instant to the start")
    steps = StepRunSerializer(many=True)

    class Meta:
        model = Run
        fields = [
            "id",
            "pipeline",
            "pipeline_name",
            "node",
            "node_name",
            "trigger",
            "requested_by",
            "state",
            "reason",
            "scheduled_at",
            "started_at",
            "finished_at",
            "late_by",
            "attempt",
            "generation",
            "count",
            "until",
            "shared",
            "steps",
        ]

    def get_late_by(self, run: Run) -> float | None:
        """None for what has not started, and for what was started by hand."""
        return lateness(run)


class RunFilter(django_filters.FilterSet):
    """``since``: scheduled at this instant or later."""

    state = django_filters.ChoiceFilter(choices=Run.State.choices)
    trigger = django_filters.ChoiceFilter(choices=Run.Trigger.choices)
    pipeline = django_filters.UUIDFilter()
    node = django_filters.UUIDFilter()
    since = django_filters.IsoDateTimeFilter(field_name="scheduled_at", lookup_expr="gte")

    class Meta:
        model = Run
        fields = ["pipeline", "node", "state", "trigger", "since"]


class NewestFirst(CursorPagination):
    """Pages by key, without counting; ``limit`` up to 500."""

    ordering = "-id"
    page_size = 50
    page_size_query_param = "limit"
    max_page_size = 500


class RunViewSet(ReadOnlyModelViewSet):
    """What ran and what did not."""

    queryset = Run.objects.prefetch_related("steps")
    serializer_class = RunSerializer
    filterset_class = RunFilter
    pagination_class = NewestFirst
    lookup_field = "uuid"
    lookup_url_kwarg = "pk"
    lookup_value_converter = "uuid"

    def get_serializer(self, *args: Any, **kwargs: Any) -> Any:
        """Reads the output of all the runs at once."""
        context = kwargs.setdefault("context", self.get_serializer_context())
        if args:
            many = kwargs.get("many", False)
            runs = args[0] if many else [args[0]]
            context["outputs"] = texts([run.uuid for run in runs], LISTED_OUTPUT if many else None)
        return self.get_serializer_class()(*args, **kwargs)

    @action(detail=True, methods=["get"])
    def output(self, request: Request, pk: UUID) -> HttpResponse:
        """The whole output of one step (``?step=<index>``, 0 by default) as plain text."""
        run = self.get_object()
        try:
            index = int(request.query_params.get("step", "0"))
        except ValueError:
            raise NotFound("step is the number of a step, from 0 on") from None
        if not StepRun.objects.filter(run=run, index=index).exists():
            raise NotFound(f"this run has no step {index}")
        text = texts([run.uuid]).get((run.uuid, index), "")
        return HttpResponse(text, content_type="text/plain; charset=utf-8")


routes = [("runs", RunViewSet, "run")]
