"""The API of pipelines, of runs by hand, and of the global pause."""

from typing import Any

import django_filters
from django.db.models import QuerySet
from django.urls import path
from django.utils import timezone
from drf_spectacular.utils import extend_schema
from rest_framework import serializers, status
from rest_framework.decorators import action
from rest_framework.exceptions import APIException, PermissionDenied
from rest_framework.generics import get_object_or_404
from rest_framework.permissions import DjangoModelPermissions, IsAuthenticated
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.views import APIView

from coordination.errors import CoordinationError
from logs.models import Run
from pipelines import commands, publishing
from pipelines.calendars import blackouts
from pipelines.calendars_api import CalendarViewSet
from pipelines.explaining import explain
from pipelines.explaining.question import NotUnderstood, instant_of, node_of
from pipelines.models import Calendar, Control, Pipeline
from pipelines.retention_api import RetentionViewSet
from pipelines.schedule_errors import sentence
from pipelines.schedules import words
from pipelines.serializers import (
    ControlSerializer,
    ExplainQuery,
    ExplanationSerializer,
    PipelineSerializer,
    PreviewQuery,
    PreviewSerializer,
    RunRequest,
    RunsSerializer,
    TrialRequest,
    iso,
)
from tasks.api import Conflicting, DefinitionViewSet, one_write
from tasks.models import Task
from workers.api import MayChange
from workers.engine.schedule import Schedule, ScheduleError, next_fires


class EtcdDown(APIException):
    """503, with what is down."""

    status_code = status.HTTP_503_SERVICE_UNAVAILABLE


class PipelineFilter(django_filters.FilterSet):
    """``calendars``: those that observe this one."""

    calendars = django_filters.ModelChoiceFilter(queryset=Calendar.objects.all())

    class Meta:
        model = Pipeline
        fields = ["name", "enabled", "paused", "calendars"]


class PipelineViewSet(DefinitionViewSet):
    """Pipelines, and what can be done with one: run, pause, resume."""

    queryset = Pipeline.objects.all()
    serializer_class = PipelineSerializer
    filterset_class = PipelineFilter

    def get_queryset(self) -> QuerySet[Pipeline]:
        return Pipeline.objects.prefetch_related("steps", "bindings", "calendars__entries").order_by("name")

    @extend_schema(request=RunRequest, responses={202: RunsSerializer})
    @action(detail=True, methods=["post"], permission_classes=[MayChange], serializer_class=RunRequest)
    def run(self, request: Request, pk: str | None = None) -> Response:
        """Runs it once, now, on every bound node; 409 when it has no steps or no nodes."""
        pipeline = self.get_object()
        wish = RunRequest(data=request.data)
        wish.is_valid(raise_exception=True)
        runs = _order(commands.send_run, pipeline, wish.validated_data.get("environment", {}), request.user)
        return Response({"runs": [str(run) for run in runs]}, status=status.HTTP_202_ACCEPTED)

    @extend_schema(request=None, responses=PipelineSerializer)
    @action(detail=True, methods=["post"], permission_classes=[MayChange], serializer_class=serializers.Serializer)
    def pause(self, request: Request, pk: str | None = None) -> Response:
        """Its fires are skipped until it is resumed; what runs goes on."""
        return self._set_paused(True)

    @extend_schema(request=None, responses=PipelineSerializer)
    @action(detail=True, methods=["post"], permission_classes=[MayChange], serializer_class=serializers.Serializer)
    def resume(self, request: Request, pk: str | None = None) -> Response:
        """It fires again from the next instant on."""
        return self._set_paused(False)

    @extend_schema(parameters=[ExplainQuery], responses=ExplanationSerializer)
    @action(detail=True, methods=["get"], serializer_class=ExplanationSerializer, pagination_class=None)
    def explain(self, request: Request, pk: str | None = None) -> Response:
        """Why it did or did not run at an instant."""
        pipeline = self.get_object()
        try:
            at = instant_of(request.query_params.get("at", ""), pipeline)
            node = node_of(request.query_params.get("node", ""))
        except NotUnderstood as error:
            raise serializers.ValidationError({error.field: [str(error)]}) from None
        return Response(ExplanationSerializer(explain(pipeline, at, node, timezone.now())).data)

    def _set_paused(self, paused: bool) -> Response:
        pipeline = self.get_object()
        with one_write():
            pipeline.paused = paused
            pipeline.save(update_fields=["paused"])
        return Response(PipelineSerializer(self.get_object(), context=self.get_serializer_context()).data)


class KillView(APIView):
    """``POST /api/v1/runs/<id>/kill/``: its node ends it and all its processes; 409 when it has ended already."""

    queryset = Run.objects.all()
    permission_classes = [MayChange]

    @extend_schema(request=None, responses={202: None})
    def post(self, request: Request, run: Any) -> Response:
        """Answers 202: the run's end is reported by its node."""
        _order(commands.send_kill, get_object_or_404(Run, uuid=run), request.user)
        return Response({"detail": "The order to end it is on its way."}, status=status.HTTP_202_ACCEPTED)


class TrialView(APIView):
    """``POST /api/v1/tasks/<id>/try/``: one node does the task once, as it is saved; 409 when it cannot."""

    queryset = Task.objects.all()
    permission_classes = [MayChange]

    @extend_schema(request=TrialRequest, responses={202: RunsSerializer})
    def post(self, request: Request, task: int) -> Response:
        """Answers 202 with the run."""
        wanted = get_object_or_404(Task, pk=task)
        if not request.user.has_perm("pipelines.change_pipeline"):
            raise PermissionDenied
        wish = TrialRequest(data=request.data)
        wish.is_valid(raise_exception=True)
        run = _order(commands.send_trial, wanted, wish.validated_data["node"], request.user)
        return Response({"runs": [str(run)]}, status=status.HTTP_202_ACCEPTED)


class ControlView(APIView):
    """``/api/v1/control/``: the switch that pauses all pipelines of the cluster."""

    queryset = Control.objects.all()
    permission_classes = [DjangoModelPermissions]
    serializer_class = ControlSerializer

    def get(self, request: Request) -> Response:
        """Whether everything is paused, and whether the workers have been told."""
        return Response(ControlSerializer(Control.objects.get_or_create(pk=1)[0]).data)

    def put(self, request: Request) -> Response:
        """Pauses everything, or lets it go on."""
        wish = ControlSerializer(data=request.data)
        wish.is_valid(raise_exception=True)
        publishing.set_paused(wish.validated_data["paused"])
        return self.get(request)

    patch = put


class PreviewView(APIView):
    """``GET /api/v1/schedules/preview/``: what a schedule means, before it is saved."""

    permission_classes = [IsAuthenticated]

    @extend_schema(parameters=[PreviewQuery], responses=PreviewSerializer)
    def get(self, request: Request) -> Response:
        """The next fires (UTC) after an instant, and the schedule in words."""
        query = PreviewQuery(data=request.query_params)
        query.is_valid(raise_exception=True)
        values = query.validated_data
        count, after = values.pop("count"), values.pop("after")
        calendars = values.pop("calendars", [])
        try:
            spent = min(after, timezone.now())
            schedule = Schedule.parse(values.pop("schedule"), **values, calendars=blackouts(calendars), now=spent)
            fires = next_fires(schedule, after, count)
        except ScheduleError as error:
            named = error.field if error.field in values else "schedule"
            raise serializers.ValidationError({named: [sentence(error)]}) from None
        text = words(query.initial_data["schedule"])
        return Response({"fires": [iso(instant) for instant in fires], "words": text})


def _order(send: Any, *arguments: Any) -> Any:
    try:
        return send(*arguments)
    except commands.Conflict as conflict:
        raise Conflicting(str(conflict)) from None
    except CoordinationError as error:
        raise EtcdDown(f"etcd: {error}") from None


routes = [
    ("pipelines", PipelineViewSet, "pipeline"),
    ("calendars", CalendarViewSet, "calendar"),
    ("retention", RetentionViewSet, "retention"),
]
paths = [
    path("runs/<uuid:run>/kill/", KillView.as_view(), name="run-kill"),
    path("tasks/<int:task>/try/", TrialView.as_view(), name="task-try"),
    path("control/", ControlView.as_view(), name="control"),
    path("schedules/preview/", PreviewView.as_view(), name="schedule-preview"),
]
