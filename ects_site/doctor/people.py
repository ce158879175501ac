"""The administrators: there has to be one, and nobody may guess the password."""

from collections.abc import Iterator

from django.contrib.auth import get_user_model
from django.contrib.auth.models import AbstractUser

from coordination.finding import Finding, fail, ok

GUESSES = ("admin", "password", "ects")
"""What is tried first, beside the user's own name."""

MOST = 5
"""Administrators whose passwords are tried: each try takes a tenth of a second by design."""


def check() -> Iterator[Finding]:
    """Findings on administrators."""
    users: list[AbstractUser] = list(
        get_user_model().objects.filter(is_superuser=True, is_active=True).order_by("username")[:MOST]
    )
    able = [user for user in users if user.has_usable_password()]
    if not able:
        words = "there is none who can sign in" if not users else "none has a password"
        yield fail("administrators", words, "manage.py createsuperuser, or manage.py changepassword NAME.")
        return
    guessed = [user for user in able if any(map(user.check_password, {*GUESSES, user.get_username()}))]
    for user in guessed:
        advice = f"manage.py changepassword {user.get_username()}"
        yield fail("administrators", f"anybody would try the password of {user.get_username()} first", advice)
    if not guessed:
        yield ok("administrators", ", ".join(user.get_username() for user in able))
