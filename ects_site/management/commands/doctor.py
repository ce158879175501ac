"""``manage.py doctor``: what is wrong, and what to do."""

import json
import sys
from dataclasses import asdict
from typing import Any

from django.core.management.base import BaseCommand, CommandParser

from ects_site.doctor import Verdict, examine


class Command(BaseCommand):
    """Prints one line for each thing looked at."""

    help = (
        "Look at host, console, database, etcd, keys, masters, workers (their clocks too) and publication, and say "
        "what to do about what is wrong. Changes nothing but a probe key in etcd. Exit status 1 when something fails."
    )
    requires_system_checks: list[str] = []

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("--json", action="store_true", help="an object a line: subject, verdict, words, advice")

    def handle(self, *args: Any, **options: Any) -> None:
        """Ends the process with status 1 when something fails."""
        failed = False
        for finding in examine():
            failed |= finding.verdict is Verdict.FAIL
            if options["json"]:
                self.stdout.write(json.dumps(asdict(finding), ensure_ascii=False))
                continue
            style = {"fail": self.style.ERROR, "warn": self.style.WARNING}.get(finding.verdict, self.style.SUCCESS)
            self.stdout.write(f"{style(f'{finding.verdict:4}')}  {finding.subject}: {finding.words}")
            if finding.advice:
                self.stdout.write(f"      -> {finding.advice}")
        if failed:
            sys.exit(1)
