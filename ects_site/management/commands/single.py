"""``manage.py single``: all of ECTS on this machine."""

import argparse
import asyncio
from typing import Any

from django.core.management.base import BaseCommand, CommandError, CommandParser

from coordination import logformat
from ects_site import listening
from ects_site.etcd_process import EtcdMissing
from ects_site.single import CannotStart, Single
from workers.engine.identity import IdentityError


class Command(BaseCommand):
    """Runs a private etcd, web, master and one worker, supervised, until Ctrl-C."""

    help = (
        "Run all of ECTS on this machine: a private etcd, the console, the master and one worker, until Ctrl-C. "
        "Settings: ECTS_PORT (9701), ECTS_BIND (0.0.0.0), ECTS_DATA_DIR (./var), ECTS_ADMIN_PASSWORD, "
        "ECTS_LOCAL_WORKER (yes), and for mail ECTS_EMAIL_HOST, _PORT, _USER, _PASSWORD, _TLS, _FROM."
    )
    requires_system_checks: list[str] = []

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("--example", action="store_true", help="make the example, if there are no pipelines yet")
        # From init, whose visitors wait at these sockets.
        parser.add_argument("--listener", type=int, action="append", default=[], help=argparse.SUPPRESS)

    def _say(self, text: str) -> None:
        # At once, into a file or a pipe too: it tells the password.
        self.stdout.write(text)
        self.stdout.flush()

    def handle(self, *args: Any, **options: Any) -> None:
        logformat.identify(process="single")
        try:
            listeners = listening.take_over(options["listener"])
            asyncio.run(Single(self._say, listeners, with_example=options["example"]).run())
        except (EtcdMissing, CannotStart, IdentityError) as error:
            raise CommandError(str(error)) from None
