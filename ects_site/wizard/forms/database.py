"""The second step: the database of definitions and history."""

from collections.abc import Mapping
from typing import Any

from django import forms
from django.utils.translation import gettext_lazy as _

from ects_site import configuration_file
from ects_site import settings as console
from ects_site.probes import database
from ects_site.probes.report import Report
from ects_site.wizard.forms.base import GIVEN, OWN, StepForm, secret_field
from ects_site.wizard.present import Content


class DatabaseForm(StepForm):
    """SQLite, or a server of MySQL or MariaDB."""

    step = "database"
    title = _("Database")
    section = "database"
    secrets = ("password",)
    given = ("host", "port", "name", "user", "password", "tls", "ca", "certificate", "key")
    needed = ("host", "port", "name", "user")
    variables = ("ECTS_DATABASE_URL",)
    needed_by = ["keys", "administrator"]

    choice = forms.ChoiceField(
        label=_("Which database"),
        widget=forms.RadioSelect,
        choices=[
            (
                OWN,
                _("SQLite, a file in the data directory: for one console host"),
            ),
            (GIVEN, _("MySQL or MariaDB: for several console hosts and long histories")),
        ],
    )
    host = forms.CharField(
        label=_("Host"), required=False, help_text=_("Name or address, or the path of the server's socket.")
    )
    port = forms.IntegerField(label=_("Port"), required=False, min_value=1, max_value=65535)
    name = forms.CharField(label=_("Name of the database"), required=False, help_text=_("It is made if it is missing."))
    user = forms.CharField(label=_("User"), required=False)
    password = secret_field(_("Password"))
    tls = forms.ChoiceField(
        label=_("TLS"),
        required=False,
        choices=[
            ("none", _("None: on this machine, or in a network that is trusted")),
            ("required", _("Encrypted, whoever answers")),
            ("verify", _("Encrypted, and the server shows that it is the one")),
        ],
    )
    ca = forms.CharField(
        label=_("CA certificate"),
        required=False,
        help_text=_("Path of a PEM file on this machine. Empty: the authorities that this machine trusts."),
    )
    certificate = forms.CharField(
        label=_("Client certificate"), required=False, help_text=_("Path of a PEM file, if the server asks for one.")
    )
    key = forms.CharField(
        label=_("Key of the client certificate"), required=False, help_text=_("Path of a PEM file, not encrypted.")
    )

    def beginning(self, content: Content) -> dict[str, Any]:
        held = content.get("database", {})
        return {
            "choice": GIVEN if held else OWN,
            "host": held.get("host", "127.0.0.1"),
            "port": held.get("port", 3306),
            "name": held.get("name", "ects"),
            "user": held.get("user", "ects"),
            "password": held.get("pass", ""),
            "tls": held.get("tls", "none") or "none",
            **{name: held.get(name, "") for name in ("ca", "key")},
            "certificate": held.get("cert", ""),
        }

    def described(self, values: Mapping[str, Any]) -> Content:
        if self.owns():
            return {}
        held = {name: values[name] for name in ("host", "port", "name", "user", "tls", "ca", "key")}
        return {"database": {**held, "cert": values["certificate"], "pass": values["password"]}}

    def test(self) -> Report:
        configuration = configuration_file.configuration(self.content)
        report = database.probe(configuration.database, console.DATA_DIR / "ects.sqlite3")
        if self.draft.force and self.place() == _place(self.draft.present.get("database", {})):
            report.notes, report.holds = report.notes + report.holds, []
        elif self.draft.force:
            report.notes.append(
                str(_("Another database than before: what the present one holds stays there, and is not copied."))
            )
        return report

    def place(self) -> str:
        return _place(self.content.get("database", {}))


def _place(held: Mapping[str, Any]) -> str:
    return f"{held.get('host')} {held.get('port')} {held.get('name')}"
