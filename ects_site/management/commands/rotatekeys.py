"""``manage.py rotatekeys``: replaces a key while everything goes on."""

from typing import Any

from django.core.exceptions import ImproperlyConfigured
from django.core.management.base import BaseCommand, CommandError, CommandParser

from coordination.crypto import CannotOpen
from coordination.errors import CoordinationError
from ects_site.rotation import Waiting, encryption, signing, web


class Command(BaseCommand):
    """Signing key, encryption key, or Django's secret key."""

    help = (
        "Replace a key while workers go on firing and the console stays open. signing: the key that signs what workers "
        "do; encryption: the one that encrypts secrets in the database; web: the one that signs sessions. Killed at "
        "any point, run it again: it goes on where it was. See docs/how-to/rotate-keys.md."
    )

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("key", choices=["signing", "encryption", "web"], help="which key is replaced")
        parser.add_argument("--retire", action="store_true", help="the old key counts no more, whoever is away")
        parser.add_argument("--wait", type=float, default=60, help="signing: seconds for workers to learn the key (60)")
        parser.add_argument("--force", action="store_true", help="signing: go on without workers that did not learn it")

    def handle(self, *args: Any, **options: Any) -> None:
        retire = options["retire"]
        try:
            if options["key"] == "signing":
                signing.rotate(self._say, wait=options["wait"], force=options["force"], retire=retire)
            elif options["key"] == "encryption":
                encryption.rotate(self._say, retire=retire)
            else:
                web.rotate(self._say, retire=retire)
        except (Waiting, ImproperlyConfigured, CannotOpen) as error:
            raise CommandError(str(error)) from None
        except CoordinationError as error:
            raise CommandError(f"etcd: {error}. What is done stays: run this again") from None

    def _say(self, line: str) -> None:
        self.stdout.write(line)
        self.stdout.flush()
