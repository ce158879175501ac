"""The API of the journal: ``/api/v1/audit/``, for staff, read only."""

from typing import Any

from django.http import Http404
from drf_spectacular.utils import extend_schema
from rest_framework import serializers
from rest_framework.permissions import IsAdminUser
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.viewsets import GenericViewSet

from audit import feed, pages, sight
from audit.models import Entry
from audit.question import asked
from audit.watched import KINDS


class AuditChangeSerializer(serializers.Serializer):
    """One field in words; of a longer text the lines of a patch, each with its sign: ``+``, ``-`` or a space."""

    field = serializers.CharField(source="label")
    before = serializers.CharField()
    after = serializers.CharField()
    lines = serializers.ListField(child=serializers.ListField(child=serializers.CharField()))


class AuditGroupSerializer(serializers.Serializer):
    """The object itself (without a title), or one of its parts: ``changed``, ``added`` or ``removed``."""

    title = serializers.CharField()
    kind = serializers.CharField()
    changes = AuditChangeSerializer(many=True)


class AuditEntrySerializer(serializers.ModelSerializer):
    """What somebody did to one object. ``act``: what was done together has the same."""

    changes = serializers.SerializerMethodField()

    class Meta:
        model = Entry
        fields = ["id", "at", "by", "user", "via", "origin", "what", "kind", "object", "name", "act", "changes"]

    @extend_schema(responses=AuditGroupSerializer(many=True))
    def get_changes(self, entry: Entry) -> Any:
        """In the language of the request."""
        [told] = feed.told([entry])
        return AuditGroupSerializer(told.groups, many=True).data


class AuditQuery(serializers.Serializer):
    """The filters; all of them hold. ``before``, ``after``: keys of entries at the edge of a page."""

    person = serializers.CharField(required=False, max_length=150)
    kind = serializers.ChoiceField(list(KINDS), required=False)
    object = serializers.CharField(required=False, max_length=200)
    what = serializers.ChoiceField(Entry.What.choices, required=False)
    act = serializers.UUIDField(required=False)
    since = serializers.DateTimeField(required=False)
    until = serializers.DateTimeField(required=False)
    before = serializers.IntegerField(required=False, min_value=0, max_value=2**63 - 1)
    after = serializers.IntegerField(required=False, min_value=0, max_value=2**63 - 1)
    limit = serializers.IntegerField(default=50, min_value=1, max_value=500)


class AuditPageSerializer(serializers.Serializer):
    """Newest first. ``next``: the address of the older ones, ``previous``: of the newer."""

    next = serializers.CharField(allow_null=True)
    previous = serializers.CharField(allow_null=True)
    results = AuditEntrySerializer(many=True)


class AuditViewSet(GenericViewSet):
    """Who changed what: of those kinds that the user may see."""

    queryset = Entry.objects.prefetch_related("parts")
    serializer_class = AuditEntrySerializer
    permission_classes = [IsAdminUser]
    pagination_class = None
    filter_backends: list[Any] = []
    lookup_value_converter = "int"

    @extend_schema(parameters=[AuditQuery], responses=AuditPageSerializer(many=False))
    def list(self, request: Request) -> Response:
        """400 for a filter that cannot be understood."""
        query = AuditQuery(data=request.query_params)
        query.is_valid(raise_exception=True)
        given = query.validated_data
        wanted = asked(request.query_params.dict()).wanted(
            sight.visible_kinds(request.user), given.get("since"), given.get("until")
        )
        page = pages.page(wanted, given["limit"], before=given.get("before"), after=given.get("after"))
        return Response(
            {
                "next": self._address(request, before=page.older),
                "previous": self._address(request, after=page.newer),
                "results": self.get_serializer(page.entries, many=True).data,
            }
        )

    @extend_schema(responses=AuditEntrySerializer)
    def retrieve(self, request: Request, pk: int) -> Response:
        """One entry."""
        entry = self.get_queryset().filter(pk=pk, kind__in=sight.visible_kinds(request.user)).first()
        if entry is None:
            raise Http404
        return Response(self.get_serializer(entry).data)

    def _address(self, request: Request, **edge: int | None) -> str | None:
        [(name, key)] = edge.items()
        if key is None:
            return None
        parameters = request.query_params.copy()
        for other in ("before", "after"):
            parameters.pop(other, None)
        parameters[name] = str(key)
        return request.build_absolute_uri(f"{request.path}?{parameters.urlencode()}")


routes = [("audit", AuditViewSet, "audit")]
