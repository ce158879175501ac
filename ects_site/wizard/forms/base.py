"""What the wizard's forms have in common."""

from collections.abc import Iterator, Mapping
from typing import Any, ClassVar

from django import forms
from django.http import QueryDict
from django.utils.functional import Promise
from django.utils.translation import gettext_lazy as _
from msgspec import structs

from ects_site import configuration_file, installation
from ects_site.configuration_file import SECTIONS, Invalid
from ects_site.installation import Refused
from ects_site.probes.report import Report
from ects_site.wizard.draft import Draft
from ects_site.wizard.present import Content

OWN, GIVEN = "own", "given"
"""The answers to a step's first question: what ECTS brings along, or what is described below it."""

KEPT = _("kept; type to replace it")


def secret_field(label: Any, **more: Any) -> forms.CharField:
    """A password or a key: never shown again, and not offered to the browser's own store."""
    widget = forms.PasswordInput(attrs={"autocomplete": "new-password"})
    return forms.CharField(label=label, required=False, strip=False, widget=widget, **more)


class StepForm(forms.Form):
    """One step. ``given`` are the fields that matter under the answer GIVEN only, ``needed`` those of them that must
    not be empty, ``variables`` the settings that would win over the answer OWN. ``needed_by``: steps whose test asks
    for this one."""

    step: ClassVar[str]
    title: ClassVar[str | Promise]
    section: ClassVar[str] = ""
    secrets: ClassVar[tuple[str, ...]] = ()
    given: ClassVar[tuple[str, ...]] = ()
    needed: ClassVar[tuple[str, ...]] = ()
    repeated: ClassVar[tuple[str, ...]] = ()
    """Fields that repeat another for safety."""
    variables: ClassVar[tuple[str, ...]] = ()
    needed_by: ClassVar[list[str]] = []
    has_test: ClassVar[bool] = True
    is_tested: ClassVar[bool] = True
    """Whether the test is made before the next step, too, and not only on demand."""

    def __init__(self, draft: Draft, data: QueryDict | None = None) -> None:
        self.draft = draft
        self.content: Content = {}
        known = draft.typed.get(self.step) or self.beginning(draft.present)
        super().__init__(data=None if data is None else self._complete(data, known), initial=known, label_suffix="")

    def beginning(self, content: Content) -> dict[str, Any]:
        """What the fields hold at first, from what this installation is set to."""
        raise NotImplementedError

    def described(self, values: Mapping[str, Any]) -> Content:
        """The answer in the form of a configuration file."""
        raise NotImplementedError

    def test(self) -> Report:
        """Tests the valid answer."""
        return Report()

    def place(self) -> str:
        """Names what ``Report.holds`` is about; an agreement is for one place."""
        return ""

    def owns(self) -> bool:
        """Whether the answer is OWN, so that the other fields do not matter."""
        return "choice" in self.fields and self["choice"].value() == OWN

    def typed(self) -> dict[str, Any]:
        """What the fields hold, right or wrong. A secret that is wrong is not worth keeping, since nobody sees it."""
        wrong = set(self.errors) & set(self.secrets) if self.is_bound else set()
        return {name: "" if name in wrong else self[name].value() for name in self.fields}

    def show_kept(self) -> None:
        """Says beside each secret that is kept that it is."""
        for name, value in self.typed().items():
            if value and name in self.secrets:
                self.fields[name].widget.attrs["placeholder"] = KEPT

    def complain(self, report: Report) -> None:
        """Puts what is wrong beside the fields."""
        for name, sentence in report.wrong:
            self.blame(name, sentence)

    def blame(self, name: str, sentence: str) -> None:
        """An error beside a field; beside the first question where that field does not show."""
        if self.owns() and name in self.given:
            name = "choice"
        self.add_error(name if name in self.fields else None, sentence)

    def clean(self) -> dict[str, Any]:
        """Also by the rules of the configuration file."""
        values: dict[str, Any] = super().clean() or {}
        if self.owns():
            for name in self.given:
                self.errors.pop(name, None)
        else:
            for name in self.needed:
                if not values.get(name) and name not in self.errors:
                    self.add_error(name, forms.Field.default_error_messages["required"])
        if not self.errors:
            self._describe(values)
        return values

    def _describe(self, values: Mapping[str, Any]) -> None:
        self.content = self.described(values)
        sections = {name: held for name, held in self.content.items() if name in SECTIONS}
        try:
            wanted = configuration_file.environment(configuration_file.configuration(sections))
            installation.check_variables(wanted)
        except Invalid as error:
            for name, sentence in error.wrong:
                self.blame(self._field(name), sentence)
        except Refused as error:
            self.add_error(None, str(error))
        for variable in self.variables if self.owns() else ():
            if installation.is_from_outside(variable):
                words = _("%(variable)s is set in this environment and would win: unset it first.")
                self.add_error("choice", words % {"variable": variable})

    def _field(self, name: str) -> str:
        """The field of ``etcd.pass``."""
        section, _dot, short = name.partition(".")
        names = {each.encode_name: each.name for each in structs.fields(SECTIONS[section])} if section else {}
        return names.get(short.partition("[")[0], "")

    def _complete(self, data: QueryDict, known: Mapping[str, Any]) -> dict[str, Any]:
        """With the secrets that were typed before. Without a user there is no password."""
        complete: dict[str, Any] = data.dict()
        for name in self.secrets:
            is_of_user = name.endswith("password") and name.replace("password", "user") in complete
            has_user = not is_of_user or complete[name.replace("password", "user")]
            if not complete.get(name) and known.get(name) and has_user:
                complete[name] = known[name]
        return complete

    def rows(self) -> Iterator[tuple[Any, str]]:
        """What was answered, by label, without secrets."""
        for name, field in self.fields.items():
            value = self[name].value()
            if not value or name in self.repeated or (self.owns() and name in self.given):
                continue
            if name in self.secrets:
                yield field.label, "••••••"
            elif isinstance(field, forms.ChoiceField):
                yield field.label, str(dict(field.choices).get(value, value))  # type: ignore[arg-type, call-overload]
            else:
                yield field.label, str(_("yes")) if isinstance(field, forms.BooleanField) else str(value)
