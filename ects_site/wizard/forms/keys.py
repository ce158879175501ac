"""The third step: the keys with which the console signs and encrypts."""

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from django import forms
from django.utils.translation import gettext_lazy as _

from coordination import crypto
from ects_site import environment
from ects_site.configuration_file import SHORTEST_SECRET, Auth
from ects_site.probes import keys
from ects_site.probes.report import Report
from ects_site.wizard.draft import Draft
from ects_site.wizard.forms.base import GIVEN, OWN, StepForm, secret_field
from ects_site.wizard.present import Content

FILES = {"secret": "secret_key", "encryption": "encryption_key"}
"""The files of ``secrets`` in a data directory, by field."""


class KeysForm(StepForm):
    """New ones, or those of another console host."""

    step = "keys"
    title = _("Signing key")
    section = "auth"
    secrets = ("secret", "encryption", "signing")
    given = ("directory", "secret", "encryption", "signing")

    choice = forms.ChoiceField(
        label=_("Which keys"),
        widget=forms.RadioSelect,
        choices=[
            (OWN, _("This host's own, made at random")),
            (GIVEN, _("Those of another console host of the same installation")),
        ],
    )
    directory = forms.CharField(
        label=_("Directory with a copy of its secrets"),
        required=False,
        help_text=_("“secrets” of its data directory, with secret_key and encryption_key. Or paste them:"),
    )
    secret = secret_field(_("Secret key"), help_text=_("Signs sessions: 32 characters or more."))
    encryption = secret_field(_("Encryption key"), help_text=_("Opens what the database holds: 64 hexadecimal digits."))
    signing = secret_field(
        _("Seed of the signing key"),
        help_text=_(
            "64 hexadecimal digits, only for an empty database whose workers know this key. Else leave it empty: the "
            "signing key is in the database, and the encryption key opens it."
        ),
    )

    def beginning(self, content: Content) -> dict[str, Any]:
        return {"choice": OWN}

    def described(self, values: Mapping[str, Any]) -> Content:
        held = dict(self.draft.present["auth"])
        if self.owns():
            return {"auth": held | {"signing": "" if self.draft.contents.signing else new_seed(self.draft)}}
        typed = {"secret": values["secret"].strip(), "encryption": " ".join(values["encryption"].split())}
        taken = typed | self._from_directory(values)
        for name in FILES:
            if not taken[name] and "directory" not in self.errors:
                self.add_error(name, forms.Field.default_error_messages["required"])
        if 0 < len(taken["secret"]) < SHORTEST_SECRET:
            self.add_error("secret", _("It has fewer than 32 characters and could be guessed."))
        return {"auth": held | taken | {"signing": values["signing"].strip()}}

    def _from_directory(self, values: Mapping[str, Any]) -> dict[str, str]:
        if not values["directory"]:
            return {}
        try:
            # Behind the present key former ones may stand; those of sessions are not worth taking over.
            held = {name: (Path(values["directory"]) / file).read_text() for name, file in FILES.items()}
            return {
                "secret": held["secret"].partition("\n")[0].strip(),
                "encryption": " ".join(held["encryption"].split()),
            }
        except (OSError, UnicodeDecodeError) as error:
            said = str(getattr(error, "strerror", None) or error)
            facts = {"path": getattr(error, "filename", None) or values["directory"], "reason": said}
            self.add_error("directory", _("%(path)s cannot be read: %(reason)s") % facts)
            return {}

    def test(self) -> Report:
        auth = Auth(**self.content["auth"])
        report = keys.probe(auth, environment.encryption_keys(), self.draft.contents, self.draft.signed_by)
        if report.fingerprint:
            words = _("Signing key %(key)s, from the database") if self.draft.contents.signing else NEW_KEY
            report.notes.insert(0, str(words) % {"key": report.fingerprint})
        return report

    def fingerprint(self) -> str:
        """Of the key that will sign if the answer stays OWN."""
        if self.draft.contents.signing:
            return self.draft.contents.signing[0]
        return crypto.key_id(crypto.Signer(bytes.fromhex(new_seed(self.draft))).verify_key)


NEW_KEY = _("Signing key %(key)s, which will be put into the database")


def new_seed(draft: Draft) -> str:
    """Of the key that is offered, hexadecimal: the same as long as the wizard runs."""
    return str(draft.present["auth"].setdefault("signing", os.urandom(32).hex()))
