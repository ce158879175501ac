"""Calendars in the admin."""

from typing import Any

from django.contrib import admin, messages
from django.db.models import Count, QuerySet
from django.http import HttpRequest
from django.utils.safestring import SafeString
from django.utils.timezone import now
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy
from unfold.admin import ModelAdmin, TabularInline
from unfold.decorators import display

from pipelines import displays
from pipelines.calendars_forms import CalendarEntryForm, CalendarEntryFormSet, CalendarForm
from pipelines.models import Calendar, CalendarEntry
from pipelines.schedules import is_silenced, schedule_of
from tasks.versions import VersionedAdmin
from workers.engine.schedule import ScheduleError


class CalendarEntryInline(TabularInline):
    """Dates, ranges and weekly windows in one table."""

    model = CalendarEntry
    form = CalendarEntryForm
    formset = CalendarEntryFormSet
    extra = 0
    hide_title = True


@admin.register(Calendar)
class CalendarAdmin(VersionedAdmin, ModelAdmin):
    """Calendars: when pipelines do not fire, and which pipelines these are."""

    form = CalendarForm
    inlines = [CalendarEntryInline]
    list_display = ["titled", "policy_label", "timezone", "entry_count", "used_by", "updated_at"]
    list_filter = ["policy"]
    search_fields = ["name", "description", "entries__name"]
    readonly_fields = ["used_by", "created_at", "updated_at"]
    warn_unsaved_form = True
    change_form_template = "ects/change_form.html"
    empty_icon = "event_busy"
    empty_hint = gettext_lazy(
        "A calendar holds the times at which pipelines do not fire: holidays, maintenance windows."
    )
    fieldsets = [
        (None, {"fields": ["name", "description", ("timezone", "policy")]}),
        (gettext_lazy("Used by"), {"fields": ["used_by"], "classes": ["after"]}),
        (gettext_lazy("Record"), {"fields": [("created_at", "updated_at")], "classes": ["collapse", "after"]}),
    ]

    def get_queryset(self, request: HttpRequest) -> QuerySet[Calendar]:
        """With what the list shows of other tables."""
        counted = super().get_queryset(request).annotate(entry_number=Count("entries", distinct=True))
        return counted.prefetch_related("pipelines")

    def get_fieldsets(self, request: HttpRequest, obj: Any = None) -> Any:
        """A new one is used by none yet."""
        return self.fieldsets if obj else self.fieldsets[:1]

    def get_deleted_objects(self, objs: Any, request: HttpRequest) -> Any:
        """Those in use stay; the page says by whom they are used."""
        deleted, counts, permissions, protected = super().get_deleted_objects(objs, request)
        users = [str(user) for calendar in objs for user in calendar.pipelines.all()]
        return deleted, counts, permissions, [*protected, *users]

    def save_related(self, request: HttpRequest, form: Any, formsets: Any, change: bool) -> None:
        """Says which pipelines will not fire any more."""
        super().save_related(request, form, formsets, change)
        for name in _silenced(form.instance):
            messages.warning(request, _("%(name)s will not fire any more: its calendars cover everything to come.")
                             % {"name": name})  # fmt: skip

    @display(description=gettext_lazy("Calendar"), ordering="name", header=True)
    def titled(self, calendar: Calendar) -> list[str]:
        return [calendar.name, calendar.description]

    @display(description=gettext_lazy("Fires inside"), ordering="policy")
    def policy_label(self, calendar: Calendar) -> str:
        return calendar.get_policy_display()

    @display(description=gettext_lazy("Entries"))
    def entry_count(self, calendar: Any) -> int:
        return int(calendar.entry_number)

    @display(description=gettext_lazy("Pipelines"), empty_value="–")
    def used_by(self, calendar: Calendar) -> SafeString | None:
        return displays.pipeline_links(calendar.pipelines.all()) if calendar.pk else None


def _silenced(calendar: Calendar) -> list[str]:
    """Names of the enabled pipelines that its calendars leave no fire. Read anew: the calendar has just changed."""
    names = []
    for pipeline in calendar.pipelines.filter(enabled=True).prefetch_related("calendars__entries"):
        try:
            if is_silenced(schedule_of(pipeline), now()):
                names.append(pipeline.name)
        except ScheduleError:
            continue  # its own page says what is wrong with it
    return names
