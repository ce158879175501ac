"""The API of calendars: ``/api/v1/calendars/``. Entries are nested by kind, as the engine's wire form has them."""

from typing import Any

from django.db.models import QuerySet
from django.utils.translation import gettext as _
from rest_framework import serializers

from pipelines.calendars import MAX_ENTRIES, WHOLE_DAY, entry_error, tidied, timezone_error
from pipelines.models import Calendar, CalendarEntry
from tasks.api import DefinitionViewSet
from workers.engine.calendars import WEEKDAYS


class NameField(serializers.CharField):
    """What the ledger calls the time; may be empty."""

    def __init__(self, **kwargs: Any) -> None:
        super().__init__(**{"default": "", "allow_blank": True, "max_length": 150, **kwargs})


class DateSerializer(serializers.Serializer):
    """A whole day: ``2026-12-25``, or ``12-25`` for every year."""

    date = serializers.CharField(source="start", max_length=40)
    name = NameField()


class RangeSerializer(serializers.Serializer):
    """Days, both included, or ISO instants, the last not included; without an offset in the calendar's zone."""

    start = serializers.CharField(max_length=40)
    end = serializers.CharField(max_length=40)
    name = NameField()


class WeeklySerializer(serializers.Serializer):
    """From a time of day to another; one that is not after the start lies on the next day."""

    days = serializers.ListField(child=serializers.ChoiceField(WEEKDAYS), allow_empty=False, max_length=7)
    start = serializers.CharField(default=WHOLE_DAY[0], max_length=40)
    end = serializers.CharField(default=WHOLE_DAY[1], max_length=40)
    name = NameField()


LISTS = {
    "dates": CalendarEntry.Kind.DATE,
    "ranges": CalendarEntry.Kind.RANGE,
    "weekly": CalendarEntry.Kind.WEEKLY,
}
"""The kind of the entries in each of the lists."""


class CalendarSerializer(serializers.ModelSerializer):
    """A calendar with its entries. Each list is written as a whole; one that is left out stays as it is."""

    dates = DateSerializer(many=True, required=False)
    ranges = RangeSerializer(many=True, required=False)
    weekly = WeeklySerializer(many=True, required=False)
    pipelines: serializers.Field = serializers.PrimaryKeyRelatedField(many=True, read_only=True)

    class Meta:
        model = Calendar
        fields = [
            "id", "name", "description", "timezone", "policy", "dates", "ranges", "weekly", "pipelines", "created_at",
            "updated_at",
        ]  # fmt: skip

    def validate_timezone(self, timezone: str) -> str:
        """A zone that exists."""
        if problem := timezone_error(timezone):
            raise serializers.ValidationError(problem)
        return timezone

    def validate(self, attrs: dict[str, Any]) -> dict[str, Any]:
        """The entries as they will stand, in the zone that they will have."""
        timezone = attrs.get("timezone", self.instance.timezone if self.instance is not None else "UTC")
        for name in LISTS.keys() & attrs.keys():
            attrs[name] = [tidied(CalendarEntry(kind=LISTS[name], **values)) for values in attrs[name]]
        entries = {name: attrs.get(name, getattr(self.instance, name, [])) for name in LISTS}
        if sum(map(len, entries.values())) > MAX_ENTRIES:
            raise serializers.ValidationError(
                {"non_field_errors": [_("Give at most %(count)d entries.") % {"count": MAX_ENTRIES}]}
            )
        errors = {name: found for name in LISTS if (found := _errors(entries[name], timezone))}
        if errors:
            raise serializers.ValidationError(errors)
        return attrs

    def create(self, validated_data: dict[str, Any]) -> Calendar:
        return self.update(Calendar(), validated_data)

    def update(self, instance: Calendar, validated_data: dict[str, Any]) -> Calendar:
        lists = {name: validated_data.pop(name) for name in LISTS if name in validated_data}
        for name, value in validated_data.items():
            setattr(instance, name, value)
        instance.save()
        for name, entries in lists.items():
            _replace(instance, name, entries)
        return Calendar.objects.get(pk=instance.pk)


class CalendarViewSet(DefinitionViewSet):
    """Calendars. One that is used by a pipeline cannot be deleted (409)."""

    queryset = Calendar.objects.all()
    serializer_class = CalendarSerializer
    filterset_fields = ["name", "policy"]

    def get_queryset(self) -> QuerySet[Calendar]:
        return Calendar.objects.prefetch_related("entries", "pipelines").order_by("name")


def _errors(entries: list[CalendarEntry], timezone: str) -> dict[str, dict[str, list[str]]]:
    """By the place of the entry in its list."""
    found = {str(place): entry_error(entry, timezone) for place, entry in enumerate(entries)}
    return {place: {problem[0]: [problem[1]]} for place, problem in found.items() if problem}


def _replace(calendar: Calendar, name: str, entries: list[CalendarEntry]) -> None:
    """Equal entries stay, so that what changes nothing has nothing published."""
    if sorted(map(CalendarEntry.content, entries)) == [entry.content() for entry in getattr(calendar, name)]:
        return
    calendar.entries.filter(kind=LISTS[name]).delete()
    for entry in entries:
        entry.calendar = calendar
    CalendarEntry.objects.bulk_create(entries)
