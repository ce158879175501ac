"""``manage.py pruneaudit``: deletes old entries of the audit now instead of within the hour."""

from typing import Any

from django.conf import settings
from django.core.management.base import BaseCommand, CommandParser
from django.utils import timezone

from audit import pruning


class Command(BaseCommand):
    """Deletes what is older than the setting says, and says how much."""

    help = "Delete the entries of the audit that are older than ECTS_KEEP_AUDIT_DAYS (730; 0: none)."

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("--dry-run", action="store_true", help="only say what would go")

    def handle(self, *args: Any, **options: Any) -> None:
        gone = pruning.prune(timezone.now(), settings.ECTS_KEEP_AUDIT_DAYS, dry_run=options["dry_run"])
        self.stdout.write(f"{gone} entries {'would be' if options['dry_run'] else 'were'} deleted")
