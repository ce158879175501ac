"""Replaces the key under which secrets are encrypted in the database: a new first line beside the old one, everything
encrypted anew, and at last the old line taken away."""

from collections.abc import Iterator
from typing import Any

from django.apps import apps
from django.conf import settings
from django.db import models, transaction

from coordination.crypto import CannotOpen
from ects_site import environment
from ects_site.rotation import Say, Waiting

FIELD = "ciphertext"
"""What is encrypted at rest is a BinaryField of this name, in whatever model."""

NAME = "ENCRYPTION_KEY"


def rotate(say: Say, *, retire: bool) -> None:
    """Goes on with the rotation that has begun, else begins one. Raises Waiting, or ImproperlyConfigured."""
    if len(environment.encryption_keys()) == 1 and not retire:
        environment.add_secret(NAME)
        say("made a new key; the old one still opens what it has encrypted")
    changed, lost = _encrypt_anew()
    say(f"{changed} values are encrypted anew")
    if lost:
        raise Waiting(f"{', '.join(lost)}: no key opens these; enter the secrets again, or delete them")
    if retire:
        environment.retire_secrets(NAME)
        say("the old key is gone; backups made before hold it, for themselves")
    else:
        say("Copy the two lines to the console's other hosts, restart every web process and master, then add --retire")


def _encrypt_anew() -> tuple[int, list[str]]:
    """How many values were not under the newest key, and what nothing opens."""
    changed, lost = 0, []
    for model, pk in _encrypted():
        with transaction.atomic():
            row = model._default_manager.select_for_update().filter(pk=pk).only(FIELD).first()
            value = bytes(getattr(row, FIELD) or b"")
            if not value or settings.ECTS_AT_REST.is_newest(value):
                continue
            try:
                anew = settings.ECTS_AT_REST.encrypt(settings.ECTS_AT_REST.decrypt(value))
            except CannotOpen:
                lost.append(f"{model._meta.verbose_name} {pk}")
                continue
            # Past signals: nothing that anybody sees has changed.
            model._default_manager.filter(pk=pk).update(**{FIELD: anew})
            changed += 1
    return changed, lost


def _encrypted() -> Iterator[tuple[type[models.Model], Any]]:
    for model in apps.get_models():
        if any(field.name == FIELD and isinstance(field, models.BinaryField) for field in model._meta.get_fields()):
            for pk in list(model._default_manager.values_list("pk", flat=True)):
                yield model, pk
