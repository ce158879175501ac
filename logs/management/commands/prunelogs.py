"""``manage.py prunelogs``: deletes old history now instead of within the hour."""

from typing import Any

from django.core.management.base import BaseCommand, CommandParser
from django.utils import timezone

from logs.retention import prune


class Command(BaseCommand):
    """Deletes history beyond its age."""

    help = "Delete runs that ended more than ECTS_KEEP_DAYS (90) days ago, with their steps and output."

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("--dry-run", action="store_true", help="only say how many there are")

    def handle(self, *args: Any, **options: Any) -> None:
        number = prune(timezone.now(), dry_run=options["dry_run"])
        self.stdout.write(f"{number} runs {'would be' if options['dry_run'] else 'were'} deleted")
