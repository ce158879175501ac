"""The fifth step: the server through which mail tasks send."""

from collections.abc import Mapping
from typing import Any

from django import forms
from django.utils.translation import gettext_lazy as _

from ects_site import configuration_file
from ects_site.probes import mail
from ects_site.probes.report import Report
from ects_site.wizard.forms.base import GIVEN, OWN, StepForm, secret_field
from ects_site.wizard.present import Content


class MailForm(StepForm):
    """None, or one; a test message on demand."""

    step = "mail"
    title = _("Mail")
    section = "notification"
    secrets = ("password",)
    given = ("host", "port", "encryption", "user", "password", "name", "to")
    needed = ("host", "port")
    variables = ("ECTS_EMAIL_HOST",)
    is_tested = False

    choice = forms.ChoiceField(
        label=_("Sending mail"),
        widget=forms.RadioSelect,
        choices=[(OWN, _("Not now: mail tasks say that no server is set")), (GIVEN, _("Through an SMTP server"))],
    )
    host = forms.CharField(label=_("Host"), required=False)
    encryption = forms.ChoiceField(
        label=_("Encryption"),
        required=False,
        choices=[
            ("starttls", _("STARTTLS, mostly on port 587")),
            ("ssl", _("TLS from the start, mostly on port 465")),
            ("none", _("none, mostly on port 25")),
        ],
    )
    port = forms.IntegerField(label=_("Port"), required=False, min_value=1, max_value=65535)
    user = forms.CharField(label=_("User"), required=False)
    password = secret_field(_("Password"))
    name = forms.CharField(
        label=_("Sender"), required=False, help_text=_("An address, such as ECTS <ects@example.org>.")
    )
    to = forms.EmailField(
        label=_("Send a test message to"), required=False, help_text=_("“Test” sends it; the next step does not.")
    )

    def beginning(self, content: Content) -> dict[str, Any]:
        held = content["notification"]
        return {
            "choice": GIVEN if held.get("host") else OWN,
            "host": held.get("host", ""),
            "port": held.get("port", 587),
            "encryption": held.get("encryption", "starttls"),
            "user": held.get("user", ""),
            "password": held.get("pass", ""),
            "name": held.get("name", ""),
        }

    def clean_name(self) -> str:
        """A name alone would need an address that nobody has told."""
        sender = str(self.cleaned_data["name"])
        if sender and "@" not in sender and "@" not in str(self["user"].value()):
            raise forms.ValidationError(_("An address is needed, such as ECTS <ects@example.org>."))
        return sender

    def described(self, values: Mapping[str, Any]) -> Content:
        if self.owns():
            return {}
        held = {name: values[name] for name in ("host", "port", "encryption", "user", "name")}
        return {"notification": {**held, "pass": values["password"]}}

    def test(self) -> Report:
        if self.owns():
            return Report()
        recipient = self.cleaned_data["to"]
        if not recipient:
            return Report(wrong=[(mail.TO, str(_("Whom shall the test message go to?")))])
        return mail.send_test(configuration_file.configuration(self.content).notification, recipient)
