"""``manage.py doctor --worker``: what is wrong with this host as a worker, and what to do."""

import sys
from pathlib import Path
from typing import Any

from django.conf import settings
from django.core.management.base import BaseCommand, CommandParser

from coordination.finding import Verdict, examine, tell
from workers.engine.identity import machine_id
from workers.host.checks import checks


class Command(BaseCommand):
    """Prints one line for each thing looked at."""

    help = (
        "Look at this host as a worker: its identity and journal, its disk and limits, whether the console takes its "
        "results, its clock, and etcd; and say what to do about what is wrong. Changes nothing. Exit status 1 when "
        "something fails."
    )
    requires_system_checks: list[str] = []

    def add_arguments(self, parser: CommandParser) -> None:
        state_dir = settings.DATA_DIR / "worker"
        parser.add_argument("--worker", action="store_true", help="this command rather than the console's")
        parser.add_argument("--state-dir", type=Path, default=state_dir, help=f"identity and journal ({state_dir})")
        parser.add_argument("--json", action="store_true", help="an object a line: subject, verdict, words, advice")

    def handle(self, *args: Any, **options: Any) -> None:
        """Ends the process with status 1 when something fails."""
        paints = {Verdict.FAIL: self.style.ERROR, Verdict.WARN: self.style.WARNING, Verdict.OK: self.style.SUCCESS}
        findings = examine(checks(options["state_dir"].resolve(), machine_id()))
        is_well = tell(
            findings, self.stdout.write, as_json=options["json"], paint=lambda verdict, text: paints[verdict](text)
        )
        if not is_well:
            sys.exit(1)
