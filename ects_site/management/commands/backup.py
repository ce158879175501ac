"""``manage.py backup``: database, keys and settings in one file."""

import sys
from pathlib import Path
from typing import Any

from django.core.management.base import BaseCommand, CommandError, CommandParser
from django.db import DatabaseError
from django.utils import timezone

from ects_site.backup import Refused, creating


class Command(BaseCommand):
    """Of the running installation, as of one moment."""

    help = (
        "Write database, keys and settings of this installation, as of one moment, into one archive. Nothing has to be "
        "stopped. Whoever has the archive has every secret in it: it is readable by this user only; keep it so, or "
        "encrypt it (backup - | gpg …). etcd is not in it, and never restored: started empty, it is filled again."
    )

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("path", help="a new file; a directory, for a file in it named by the time; - for output")

    def handle(self, *args: Any, **options: Any) -> None:
        try:
            if options["path"] == "-":
                creating.stream_backup(sys.stdout.buffer, timezone.now())
                return
            path = Path(options["path"])
            directory = path if options["path"].endswith("/") else path.parent
            if not directory.is_dir():
                raise Refused(f"there is no directory {directory}: make it first (mkdir -p -m 700 {directory})")
            made = creating.back_up(path, timezone.now())
        except (Refused, OSError, DatabaseError) as error:
            raise CommandError(str(error)) from None
        self.stdout.write(f"{made}: {made.stat().st_size} bytes. It holds every key and secret: keep it like one")
