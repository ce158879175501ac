"""The first step: the etcd that connects the hosts."""

import re
from collections.abc import Mapping
from typing import Any

from django import forms
from django.utils.translation import gettext_lazy as _

from ects_site import configuration_file, etcd_process
from ects_site.probes import etcd
from ects_site.probes.report import Report
from ects_site.wizard.forms.base import GIVEN, OWN, StepForm, secret_field
from ects_site.wizard.present import Content

PORT = 2379
"""Where etcd listens for clients unless it is told otherwise."""


class EtcdForm(StepForm):
    """Of ECTS's own, for one machine, or a cluster that is there."""

    step = "etcd"
    title = _("etcd")
    section = "etcd"
    secrets = ("password", "worker_password")
    given = (
        "endpoints",
        "key_prefix",
        "ca",
        "certificate",
        "key",
        "user",
        "password",
        "worker_user",
        "worker_password",
    )
    needed = ("endpoints", "key_prefix")
    variables = ("ECTS_ETCD_ENDPOINTS",)
    needed_by = ["keys"]

    choice = forms.ChoiceField(
        label=_("Which etcd"),
        widget=forms.RadioSelect,
        choices=[
            (OWN, _("One of its own, on this machine: for an installation on one host")),
            (GIVEN, _("One that is there already: for a cluster of hosts")),
        ],
    )
    endpoints = forms.CharField(
        label=_("Endpoints"),
        required=False,
        widget=forms.Textarea(attrs={"rows": 3, "spellcheck": "false"}),
        help_text=_("HOST:PORT of each member, one a line, such as 10.0.0.11:2379."),
    )
    key_prefix = forms.CharField(
        label=_("Key prefix"),
        required=False,
        help_text=_("All keys are below it; a second installation in the same etcd needs another one."),
    )
    ca = forms.CharField(
        label=_("CA certificate"),
        required=False,
        help_text=_("Path of a PEM file on this machine; it switches TLS on. Empty: a connection in the clear."),
    )
    certificate = forms.CharField(
        label=_("Client certificate"), required=False, help_text=_("Path of a PEM file, if etcd asks for one.")
    )
    key = forms.CharField(
        label=_("Key of the client certificate"), required=False, help_text=_("Path of a PEM file, not encrypted.")
    )
    user = forms.CharField(label=_("User"), required=False, help_text=_("If etcd has authentication on."))
    password = secret_field(_("Password"))
    worker_user = forms.CharField(
        label=_("User that workers share"),
        required=False,
        help_text=_("Only if the user above has not the role root: then the console cannot make one for each worker."),
    )
    worker_password = secret_field(_("Its password"))

    def beginning(self, content: Content) -> dict[str, Any]:
        held = content.get("etcd", {})
        return {
            "choice": GIVEN if held else OWN,
            "endpoints": "\n".join(held.get("endpoints", [])),
            "key_prefix": held.get("config", "/ects/config").removesuffix("/config"),
            **{name: held.get(name, "") for name in ("ca", "key", "user")},
            "certificate": held.get("cert", ""),
            "password": held.get("pass", ""),
            "worker_user": held.get("worker_user", ""),
            "worker_password": held.get("worker_pass", ""),
        }

    def clean_endpoints(self) -> list[str]:
        """As they are often copied: with commas, with a scheme, without the port."""
        words = re.split(r"[\s,;]+", self.cleaned_data["endpoints"])
        bare = [re.sub(r"^https?://", "", word).rstrip("/") for word in words if word]
        return [each if re.search(r":\d+$", each) else f"{each}:{PORT}" for each in bare]

    def clean_key_prefix(self) -> str:
        """With a slash before it and none behind."""
        prefix = str(self.cleaned_data["key_prefix"]).strip("/")
        return f"/{prefix}" if prefix else ""

    def described(self, values: Mapping[str, Any]) -> Content:
        if self.owns():
            return {}
        return {
            "etcd": {
                "endpoints": values["endpoints"],
                "config": f"{values['key_prefix']}/config",
                "ca": values["ca"],
                "cert": values["certificate"],
                "key": values["key"],
                "user": values["user"],
                "pass": values["password"],
                "worker_user": values["worker_user"],
                "worker_pass": values["worker_password"],
            }
        }

    def test(self) -> Report:
        if self.owns():
            binary = etcd_process.find()
            found = _("etcd of this machine: %(path)s") if binary else _("etcd will be installed from the distribution")
            return Report(notes=[str(found) % {"path": binary}])
        configuration = configuration_file.configuration(self.content)
        assert configuration.etcd is not None
        report = etcd.probe(configuration.etcd)
        if self.draft.force and self.place() == _place(self.draft.present.get("etcd", {})):
            report.notes, report.holds = report.notes + report.holds, []
        return report

    def place(self) -> str:
        return _place(self.content.get("etcd", {}))

    def _field(self, name: str) -> str:
        return "key_prefix" if name == "etcd.config" else super()._field(name)


def _place(held: Mapping[str, Any]) -> str:
    return f"{held.get('endpoints')} {held.get('config')}"
