"""``manage.py restore``: an installation as ``manage.py backup`` has written it."""

import argparse
import sys
from pathlib import Path
from typing import Any

from django.core.management.base import BaseCommand, CommandError, CommandParser
from django.db import DatabaseError
from django.utils import timezone

from ects_site.backup import Refused, restoring


class Command(BaseCommand):
    """Checks the archive first, then keys, settings and database."""

    help = (
        "Restore a backup into an empty installation, and bring its tables up to date. Stop the console and the "
        "masters first; workers may go on. The archive is checked before anything is changed. Afterwards start the "
        "console and a master: workers deliver again what they have kept, and everything is published again."
    )
    requires_system_checks: list[str] = []

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("path", type=Path, help="the archive")
        parser.add_argument(
            "--force", action="store_true", help="replace the database, keys and settings that are there"
        )
        parser.add_argument("--apply", action="store_true", help=argparse.SUPPRESS)

    def handle(self, *args: Any, **options: Any) -> None:
        path, force = options["path"], options["force"]
        try:
            if not options["apply"]:
                sys.exit(restoring.restore(path, force=force))
            for sentence in restoring.apply(path, timezone.now(), force=force):
                self.stdout.write(sentence)
        except (Refused, OSError) as error:
            raise CommandError(str(error)) from None
        except DatabaseError as error:
            raise CommandError(f"database: {error}") from None
        self.stdout.write(f"{path} is restored. Start the console and a master, then see manage.py doctor")
