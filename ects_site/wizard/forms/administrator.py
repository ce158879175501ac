"""The fourth step: who may sign in first."""

from collections.abc import Mapping
from typing import Any

from django import forms
from django.contrib.auth.models import User
from django.contrib.auth.password_validation import password_validators_help_texts, validate_password
from django.core.exceptions import ValidationError
from django.http import QueryDict
from django.utils.translation import gettext_lazy as _

from ects_site.wizard.draft import Draft
from ects_site.wizard.forms.base import GIVEN, OWN, StepForm, secret_field
from ects_site.wizard.present import Content


class AdministratorForm(StepForm):
    """A new account, or those that the database holds."""

    step = "administrator"
    title = _("Administrator")
    secrets = ("password", "again")
    given = ("name", "email", "password", "again")
    needed = given
    repeated = ("again",)
    has_test = is_tested = False

    choice = forms.ChoiceField(label=_("Who administers"), widget=forms.RadioSelect)
    name = forms.CharField(
        label=_("User name"), required=False, widget=forms.TextInput(attrs={"autocomplete": "username"})
    )
    email = forms.EmailField(label=_("E-mail address"), required=False)
    password = secret_field(_("Password"))
    again = secret_field(_("Password again"))

    def __init__(self, draft: Draft, data: QueryDict | None = None) -> None:
        super().__init__(draft, data)
        there = draft.contents.administrators
        if not there:
            del self.fields["choice"]
            return
        keep = _("Those who are there: %(names)s") % {"names": ", ".join(there[:5])}
        choice = self.fields["choice"]
        assert isinstance(choice, forms.ChoiceField)
        choice.choices = [(OWN, keep), (GIVEN, _("Another account"))]

    @property
    def rules(self) -> list[str]:
        """What a password has to be like."""
        return [str(text) for text in password_validators_help_texts()]

    def beginning(self, content: Content) -> dict[str, Any]:
        return {"choice": OWN, "name": "admin"}

    def clean(self) -> dict[str, Any]:
        """By the rules for the console's accounts."""
        cleaned = super().clean()
        if self.owns() or self.errors:
            return cleaned
        # What is wrong is taken out of the cleaned values meanwhile.
        values = dict(cleaned)
        if values["password"] != values["again"]:
            self.add_error("again", _("The two passwords differ."))
        account = User(username=values["name"], email=values["email"])
        try:
            account.clean_fields(exclude=["password"])
        except ValidationError as error:
            for field, sentences in error.message_dict.items():
                self.add_error("name" if field == "username" else field, sentences)
        try:
            validate_password(values["password"], account)
        except ValidationError as error:
            self.add_error("password", error)
        if values["name"] in self.draft.contents.users and not self.draft.force:
            self.add_error("name", _("There is a user of this name already: choose another, or keep who is there."))
        return cleaned

    def described(self, values: Mapping[str, Any]) -> Content:
        if self.owns():
            return {"account": {}}
        return {"account": {name: values[name] for name in ("name", "email", "password")}}
