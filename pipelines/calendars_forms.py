"""Forms of calendars and their entries in the admin; the API's rules."""

import re
from typing import Any

from django import forms
from django.core.exceptions import ValidationError
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy
from unfold.forms import PaginationInlineFormSet
from unfold.widgets import UnfoldAdminCheckboxSelectMultipleWidget, UnfoldAdminTextInputWidget

from pipelines.calendars import MAX_ENTRIES, entry_error, tidied, timezone_error
from pipelines.models import Calendar, CalendarEntry
from tasks.forms import CarefulForm, add_errors

WEEKDAY_CHOICES = [
    ("mon", gettext_lazy("Mon")), ("tue", gettext_lazy("Tue")), ("wed", gettext_lazy("Wed")),
    ("thu", gettext_lazy("Thu")), ("fri", gettext_lazy("Fri")), ("sat", gettext_lazy("Sat")),
    ("sun", gettext_lazy("Sun")),
]  # fmt: skip

_SHORT_HOUR = re.compile(r"\d:\d\d(:\d\d)?", re.ASCII)


class CalendarForm(CarefulForm):
    """A calendar's own fields."""

    class Meta:
        model = Calendar
        fields = "__all__"
        help_texts = {
            "timezone": gettext_lazy("In which its dates and times are meant; an IANA name, such as Europe/Paris."),
            "policy": gettext_lazy("Run once at the end: all fires inside become one, when the blackout is over."),
        }

    def clean_timezone(self) -> str:
        """A zone that exists."""
        timezone: str = self.cleaned_data["timezone"]
        if problem := timezone_error(timezone):
            raise ValidationError(problem)
        return timezone


class CalendarEntryForm(forms.ModelForm):
    """One entry. ``parent``: the calendar; it has the posted time zone by the time that its entries are checked."""

    start = forms.CharField(
        required=False, max_length=40, label=gettext_lazy("From"), widget=UnfoldAdminTextInputWidget,
        help_text=gettext_lazy(
            "Date: 2026-12-25, or 12-25 for every year. Range: dates, or instants such as 2026-12-24T18:00. Weekly "
            "window: 22:00 to 06:00."
        ),
    )  # fmt: skip
    days = forms.MultipleChoiceField(
        choices=WEEKDAY_CHOICES, required=False, label=gettext_lazy("Weekdays"),
        widget=UnfoldAdminCheckboxSelectMultipleWidget,
    )  # fmt: skip

    class Meta:
        model = CalendarEntry
        fields = ["kind", "name", "start", "end", "days"]

    def __init__(self, *args: Any, parent: Calendar, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.parent = parent

    def clean_start(self) -> str:
        """``9:00`` is as good as ``09:00``."""
        return _padded(self.cleaned_data["start"])

    def clean_end(self) -> str:
        """Likewise."""
        return _padded(self.cleaned_data["end"])

    def clean(self) -> dict[str, Any]:
        """The engine's rules, on the entry as it will stand."""
        values = super().clean() or {}
        names = [name for name in self._meta.fields or () if name in values]
        entry = tidied(CalendarEntry(**{name: values[name] for name in names}))
        timezone = "UTC" if timezone_error(self.parent.timezone) else self.parent.timezone
        if not self.errors and (problem := entry_error(entry, timezone)):
            field, message = problem
            add_errors(self, {"start" if field == "date" else field: [message]})
        return {**values, **{name: getattr(entry, name) for name in names}}


class CalendarEntryFormSet(PaginationInlineFormSet):
    """The table of entries."""

    def get_form_kwargs(self, index: int | None) -> dict[str, Any]:
        """Each entry is to know its calendar."""
        return {**super().get_form_kwargs(index), "parent": self.instance}

    def clean(self) -> None:
        """As many as a document can carry."""
        super().clean()
        if self.total_form_count() - len(self.deleted_forms) > MAX_ENTRIES:
            raise ValidationError(_("Give at most %(count)d entries.") % {"count": MAX_ENTRIES})


def _padded(time: str) -> str:
    return f"0{time}" if _SHORT_HOUR.fullmatch(time) else time
