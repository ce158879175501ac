"""The rule for the length of passwords, with a sentence that is translated: Django 5.2 has it in English only."""

from django.contrib.auth.password_validation import MinimumLengthValidator
from django.utils.translation import ngettext


class MinimumLength(MinimumLengthValidator):
    """As Django's."""

    def get_error_message(self) -> str:
        """What is wrong."""
        return ngettext(
            "This password is too short: it needs %(least)d character.",
            "This password is too short: it needs %(least)d characters.",
            self.min_length,
        ) % {"least": self.min_length}
