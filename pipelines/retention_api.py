"""``/api/v1/retention/``: how much of each pipeline's history is kept. Here, since ``logs`` does not know pipelines."""

from typing import Any
from uuid import UUID

from django.db.models import QuerySet
from django.utils.translation import gettext as _
from rest_framework import serializers

from logs.models import Retention
from pipelines.models import Pipeline
from tasks.api import DefinitionViewSet


class RetentionSerializer(serializers.ModelSerializer):
    """``null``: as for all pipelines; 0: no limit. The pipeline does not change."""

    class Meta:
        model = Retention
        fields = ["id", "pipeline", "pipeline_name", "days", "runs", "output_bytes"]
        read_only_fields = ["pipeline_name"]

    def validate_pipeline(self, pipeline: UUID) -> UUID:
        """One that exists, and stays."""
        if self.instance is not None:
            if pipeline != self.instance.pipeline:
                raise serializers.ValidationError(_("This belongs to one pipeline: make another for the other."))
        elif not Pipeline.objects.filter(pk=pipeline).exists():
            raise serializers.ValidationError(_("There is no such pipeline."))
        return pipeline

    def create(self, validated_data: dict[str, Any]) -> Retention:
        name = Pipeline.objects.values_list("name", flat=True).get(pk=validated_data["pipeline"])
        return super().create(validated_data | {"pipeline_name": name})


class RetentionViewSet(DefinitionViewSet):
    """What differs from the limits that hold for all."""

    queryset: QuerySet[Retention] = Retention.objects.order_by("pipeline_name", "pk")
    serializer_class = RetentionSerializer
    filterset_fields = ["pipeline"]
