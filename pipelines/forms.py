"""Forms of pipelines, steps and bindings in the admin; the API's rules."""

from typing import Any

from django import forms
from django.utils.timezone import now
from django.utils.translation import gettext_lazy as _
from unfold.forms import BaseDialogForm
from unfold.widgets import UnfoldAdminSelectWidget

from pipelines.models import Binding, Pipeline, Step
from pipelines.validation import pipeline_errors, step_errors
from tasks.fields import MapField
from tasks.forms import CarefulForm, add_errors
from workers.models import Node

LIMITS = ("nice", "memory", "cpu_seconds", "open_files", "processes")
"""Numbers of a step that may be left empty, for 0."""


class PlainNumbers(forms.ModelForm):
    """Shows 30 and not 30.0."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        for name, value in self.initial.items():
            if isinstance(value, float) and value.is_integer():
                self.initial[name] = int(value)


class PipelineForm(CarefulForm, PlainNumbers):
    """A pipeline's own fields."""

    node_labels = MapField(
        separator="=", rows=2, label=_("Bound by labels"),
        help_text=_("One a line: name=value. Every worker that has all of them holds the pipeline."),
    )  # fmt: skip

    class Meta:
        model = Pipeline
        fields = "__all__"
        help_texts = {
            "schedule": _(
                "minute hour day month weekday, with a second in front (and a year at the end) if wanted; @daily, "
                "@every 90s, @at 2030-01-31T12:00, @reboot, @manual."
            ),
            "timezone": _("IANA name, such as UTC, Europe/Paris or Asia/Shanghai."),
            "calendars": _("Its fires inside these times are skipped, or become one at the end; see the calendar."),
            "starts_at": _("No fires before; @every counts from here."),
            "ends_at": _("No fires after."),
            "jitter": _("Starts up to so much later, always the same for one instant; 0: exactly on time."),
            "timeout": _("For the whole run; 0: none."),
            "overlap": _("What becomes of a fire while the run before it is going."),
            "placement": _(
                "One node: each fire runs on one of the bound nodes, and never on two. A change between every and one "
                "takes effect 30 s after it is saved, on all nodes at once."
            ),
            "on_node_loss": _("Of one node: what becomes of a run whose node is lost."),
            "misfire": _("Fires that were late by more than the grace, or came while the worker was down."),
            "misfire_grace": _("A fire that begins within so many seconds counts as on time."),
            "misfire_window": _("Nothing older than this is caught up."),
            "misfire_cap": _("At most so many are caught up."),
            "on_success": _("Run when every strong step succeeded."),
            "on_failure": _("Run when a strong step failed."),
        }

    def clean(self) -> dict[str, Any]:
        """The rules, on the pipeline as it will stand."""
        values = super().clean() or {}
        candidate = Pipeline(pk=self.instance.pk)
        for field in Pipeline._meta.concrete_fields:
            setattr(candidate, field.attname, getattr(self.instance, field.attname))
        calendars = values.get("calendars")
        for name, value in values.items():
            if name != "calendars":
                setattr(candidate, name, value)
        found = pipeline_errors(candidate, now(), calendars)
        add_errors(self, {field: text for field, text in found.items() if field not in self.errors})
        return values


class StepForm(PlainNumbers):
    """One step. Its place comes from the order of the rows, and from ``beside``."""

    position = forms.IntegerField(required=False, label=_("position"), widget=forms.HiddenInput)
    beside = forms.BooleanField(required=False, label=_("Side by side"), help_text=_("With the step above it."))
    environment = MapField(separator="=", rows=1, label=_("Environment"), help_text=_("One a line: NAME=value"))

    class Meta:
        model = Step
        fields = [
            "task", "beside", "dependence", "timeout", "retries", "interval", "environment", "directory", "user",
            "group", "umask", "nice", "memory", "cpu_seconds", "open_files", "processes", "position",
        ]  # fmt: skip
        help_texts = {
            "dependence": _("Weak: a failure does not end the run."),
            "timeout": _("For each try; 0: none."),
            "retries": _("Tries after the first."),
            "interval": _("Between two tries."),
            "directory": _("Absolute path; empty: the user's home."),
            "user": _("Empty: the worker's own."),
            "group": _("Empty: the user's own."),
            "umask": _("Octal, such as 027."),
            "nice": _("-20 to 19; 0: as the worker."),
            "memory": _("For all its processes where control groups can be used, else for each; 0: no limit."),
            "cpu_seconds": _("For each of its processes; 0: no limit."),
            "open_files": _("For each of its processes; 0: no limit."),
            "processes": _("At once; 0: no limit."),
        }
        error_messages = {"task": {"required": _("Choose a task for this step.")}}

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        for name in LIMITS:
            self.fields[name].required = False

    place: int | None = None
    """Where the row was dragged to, counted from 0; None: it was not."""

    def has_changed(self) -> bool:
        """The order of the rows is the form set's affair: dragging numbers even rows that are still empty."""
        return bool(set(self.changed_data) - {"position", "beside"})

    def clean_position(self) -> int:
        """``StepFormSet`` gives the position."""
        self.place = self.cleaned_data["position"]
        return self.place or 0

    def clean(self) -> dict[str, Any]:
        """The rules of one step."""
        values = super().clean() or {}
        values |= {name: 0 for name in LIMITS if name in values and values[name] is None}
        own = {name: value for name, value in values.items() if name not in ("beside", "pipeline", "id", "DELETE")}
        candidate = Step(**{name: value for name, value in own.items() if value is not None})
        found = step_errors(candidate)
        add_errors(self, {field: text for field, text in found.items() if field not in self.errors})
        return values


class TrialForm(BaseDialogForm):
    """On which node a task is tried."""

    node = forms.ModelChoiceField(
        label=_("Node"),
        queryset=Node.objects.serving().order_by("-online", "name"),
        empty_label=None,
        widget=UnfoldAdminSelectWidget,
    )


class BindingForm(forms.ModelForm):
    """A node by name."""

    class Meta:
        model = Binding
        fields = ["node"]
