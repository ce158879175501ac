"""``manage.py prunelogs``: deletes old history now instead of within the hour."""

from typing import Any

from django.core.management.base import BaseCommand, CommandParser
from django.template.defaultfilters import filesizeformat
from django.utils import timezone

from logs import orphans, retention


class Command(BaseCommand):
    """Deletes history beyond its limits, and says how much of each pipeline."""

    help = (
        "Delete the history that is beyond its limits: ECTS_KEEP_DAYS (90), ECTS_KEEP_RUNS, ECTS_KEEP_OUTPUT_BYTES, "
        "or what a pipeline's own retention says. Runs that are going stay, and so do the statistics."
    )

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("--dry-run", action="store_true", help="only say what would go")

    def handle(self, *args: Any, **options: Any) -> None:
        dry_run = options["dry_run"]
        now = timezone.now()
        shares = retention.prune(now, dry_run=dry_run)
        for share in shares:
            output = f"; the output of {share.relieved} more ({filesizeformat(share.output_bytes)})"
            self.stdout.write(f"{share.name} ({share.pipeline}): {share.runs} runs{output if share.relieved else ''}")
        lone = orphans.prune(now, dry_run=dry_run)
        were = "would be" if dry_run else "were"
        self.stdout.write(f"{sum(share.runs for share in shares)} runs {were} deleted")
        if lone:
            self.stdout.write(f"{lone} steps and pieces of output without a run {were} deleted")
