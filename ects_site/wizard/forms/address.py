"""The last step: where the console is found, and what else runs on this machine."""

from collections.abc import Mapping
from typing import Any

from django import forms
from django.http import QueryDict
from django.utils.translation import gettext_lazy as _

from ects_site import installation
from ects_site.environment import env
from ects_site.listening import EVERYWHERE, LOOPBACK
from ects_site.probes import address
from ects_site.probes.report import Report
from ects_site.wizard import identity
from ects_site.wizard.draft import Draft
from ects_site.wizard.forms.base import StepForm
from ects_site.wizard.present import Content

NETWORKS = [
    (LOOPBACK, _("This machine only (127.0.0.1); others come by a proxy or SSH")),
    (EVERYWHERE, _("Every network of this machine (0.0.0.0), by plain HTTP")),
]


class AddressForm(StepForm):
    """The console's address and the worker of this machine."""

    step = "address"
    title = _("Address")
    section = "notification"

    url = forms.CharField(
        label=_("The console's address"),
        required=False,
        help_text=_("As browsers and workers reach it, such as https://ects.example. Empty: only from this machine."),
    )
    bind = forms.ChoiceField(label=_("Listen on"), choices=NETWORKS)
    worker = forms.BooleanField(
        label=_("This machine executes, too: run a worker on it"),
        required=False,
        help_text=_("Others join later, under Nodes."),
    )
    example = forms.BooleanField(
        label=_("Make an example pipeline"),
        required=False,
        help_text=_("It fires every ten seconds on this machine's worker and shows all the parts."),
    )

    def __init__(self, draft: Draft, data: QueryDict | None = None) -> None:
        super().__init__(draft, data)
        bind = self.fields["bind"]
        assert isinstance(bind, forms.ChoiceField)
        set_to = env.str("ECTS_BIND", default="")
        if installation.is_from_outside("ECTS_BIND"):
            bind.choices = [(set_to, set_to)]
        elif set_to not in ("", *dict(NETWORKS)):
            bind.choices = [*NETWORKS, (set_to, set_to)]

    def beginning(self, content: Content) -> dict[str, Any]:
        held = content["console"]
        return {
            "url": content["notification"].get("url", ""),
            "bind": held["bind"] or LOOPBACK,
            "worker": held["worker"],
            "example": not self.draft.force and not self.draft.contents.pipelines,
        }

    def clean_url(self) -> str:
        """Without a slash at the end."""
        return str(self.cleaned_data["url"]).strip().rstrip("/")

    def clean(self) -> dict[str, Any]:
        """An example needs somebody who runs it."""
        values = super().clean()
        if values.get("example") and not values.get("worker"):
            self.add_error("example", _("Without a worker on this machine nobody would run it."))
        return values

    def described(self, values: Mapping[str, Any]) -> Content:
        held = {"bind": values["bind"], "worker": values["worker"]}
        if env.str("ECTS_PORT", default=""):
            held["port"] = self.draft.present["console"]["port"]
        content: Content = {"console": held, "wish": {"example": values["example"]}}
        if values["url"]:
            content["notification"] = {"url": values["url"]}
        return content

    def test(self) -> Report:
        if not self.cleaned_data["url"]:
            return Report()
        return address.probe(self.cleaned_data["url"], identity.SENTENCE)
