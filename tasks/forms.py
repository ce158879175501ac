"""Forms of tasks and secrets in the admin."""

from typing import Any

from django import forms
from django.utils.translation import gettext_lazy as _
from unfold.widgets import UnfoldAdminPasswordToggleWidget, UnfoldAdminSelectWidget

from tasks.fields import LinesWidget, ListField, MapField
from tasks.models import Secret, Task
from tasks.validation import METHODS, Errors, task_errors


def add_errors(form: forms.ModelForm, errors: Errors) -> None:
    """Each message at its field; at the top of the form where the field is not shown."""
    for field, messages in errors.items():
        shown = field if field in form.fields else None
        for message in messages:
            form.add_error(shown, message if shown else f"{field}: {message}")


class CarefulForm(forms.ModelForm):
    """Of an object whose page sends ``seen`` along, when it had been changed as the page was opened: what another has
    saved since is not overwritten unasked. The page that asks was opened now, so who saves again means it."""

    def clean(self) -> dict[str, Any]:
        """Refuses, once."""
        values = super().clean() or {}
        seen = self.data.get("seen", "")
        if seen and not self.instance._state.adding and seen != self._last_saved():
            question = _(
                "This was changed after you opened this page; the audit says by whom. Save again to put what stands "
                "here in its place, or open the page anew to begin from what stands there now."
            )
            self.add_error(None, question)
        return values

    def _last_saved(self) -> str:
        """When, with the row locked until the page's transaction ends: the instance may have been read before another
        save was committed. "" when it was deleted."""
        rows = type(self.instance)._default_manager.select_for_update().filter(pk=self.instance.pk)
        changed = rows.values_list("updated_at", flat=True).first()
        return changed.isoformat() if changed else ""


class TaskForm(CarefulForm):
    """A task; the API's rules."""

    method = forms.ChoiceField(
        choices=[(name, name) for name in METHODS], label=_("Method"), widget=UnfoldAdminSelectWidget, initial="GET"
    )
    headers = MapField(separator=":", label=_("Headers"), help_text=_("One a line: Name: value"))
    recipients = ListField(label=_("Recipients"), help_text=_("One address a line."))

    class Meta:
        model = Task
        fields = "__all__"
        widgets = {"content": LinesWidget(12)}
        help_texts = {
            "content": _(
                "The script, the body of the request, or the text of the mail. {{ secrets.NAME }} is replaced by a "
                "secret, {{ name }} by what an earlier step wrote to $ECTS_OUTPUT."
            ),
            "expect_status": _("Such as 200, 2xx or 200-299,304; empty: 2xx."),
            "expect_text": _("The answer has to contain it."),
            "signing_secret": _("Name of the secret that signs the request."),
        }

    def clean(self) -> dict[str, Any]:
        """The rules of the kind, on the task as it will stand."""
        values = super().clean() or {}
        candidate = Task(**{**{name: getattr(self.instance, name) for name in values}, **values})
        add_errors(self, {field: text for field, text in task_errors(candidate).items() if field not in self.errors})
        return values


class SecretForm(forms.ModelForm):
    """A secret; its value goes in and is never shown."""

    value = forms.CharField(
        label=_("Value"),
        strip=False,
        widget=UnfoldAdminPasswordToggleWidget(attrs={"autocomplete": "new-password"}),
        help_text=_("Encrypted in the database, sealed for each node that needs it, and never shown again."),
    )

    class Meta:
        model = Secret
        fields = ["name", "description"]

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        if self.instance.pk:
            self.fields["value"].required = False
            self.fields["value"].help_text = _("Leave it empty to keep the value as it is.")

    def save(self, commit: bool = True) -> Secret:
        """Encrypts what was entered."""
        if value := self.cleaned_data["value"]:
            self.instance.set_value(value)
        return super().save(commit)
