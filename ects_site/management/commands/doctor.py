"""``manage.py doctor``: what is wrong, and what to do."""

import sys
from typing import Any

from django.core.management.base import BaseCommand, CommandParser

from coordination.finding import Verdict, tell
from ects_site.doctor import examine


class Command(BaseCommand):
    """Prints one line for each thing looked at."""

    help = (
        "Look at host, console, database, etcd, keys, masters, workers (their clocks too) and publication, and say "
        "what to do about what is wrong. Changes nothing but a probe key in etcd. Exit status 1 when something fails."
    )
    requires_system_checks: list[str] = []

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("--worker", action="store_true", help="look at this host as a worker; see --worker --help")
        parser.add_argument("--mail", action="store_true", help="ask the mail server too, without sending anything")
        parser.add_argument("--json", action="store_true", help="an object a line: subject, verdict, words, advice")

    def handle(self, *args: Any, **options: Any) -> None:
        """Ends the process with status 1 when something fails."""
        paints = {Verdict.FAIL: self.style.ERROR, Verdict.WARN: self.style.WARNING, Verdict.OK: self.style.SUCCESS}
        findings = examine(mail=options["mail"])
        is_well = tell(
            findings, self.stdout.write, as_json=options["json"], paint=lambda verdict, text: paints[verdict](text)
        )
        if not is_well:
            sys.exit(1)
