"""Replaces Django's secret key, which signs sessions and links: a new first line; the old one is good until retired."""

from ects_site import environment
from ects_site.rotation import Say

NAME = "SECRET_KEY"


def rotate(say: Say, *, retire: bool) -> None:
    """Goes on with the rotation that has begun, else begins one. Raises ImproperlyConfigured."""
    if retire:
        environment.retire_secrets(NAME)
        say("the old key is gone: restart every web process; who has signed in before the rotation signs in again")
        return
    if len(environment.secret(NAME).splitlines()) == 1:
        environment.add_secret(NAME)
        say("made a new key; what the old one has signed is still good")
    say("Restart every web process. After two weeks, when all sessions are renewed, run this again with --retire")
