"""``manage.py single``: all of ECTS on this machine."""

import asyncio
from typing import Any

from django.core.management.base import BaseCommand, CommandError

from coordination import logformat
from ects_site.etcd_process import EtcdMissing
from ects_site.single import CannotStart, Single
from workers.engine.identity import IdentityError


class Command(BaseCommand):
    """Runs a private etcd, web, master and one worker, supervised, until Ctrl-C."""

    help = (
        "Run all of ECTS on this machine: a private etcd, the console, the master and one worker, until Ctrl-C. "
        "Settings: ECTS_PORT (9701), ECTS_BIND (0.0.0.0), ECTS_DATA_DIR (./var), ECTS_ADMIN_PASSWORD, and for mail "
        "ECTS_EMAIL_HOST, _PORT, _USER, _PASSWORD, _TLS, _FROM."
    )
    requires_system_checks: list[str] = []

    def handle(self, *args: Any, **options: Any) -> None:
        logformat.identify(process="single")
        try:
            asyncio.run(Single(lambda line: self.stdout.write(line)).run())
        except (EtcdMissing, CannotStart, IdentityError) as error:
            raise CommandError(str(error)) from None
