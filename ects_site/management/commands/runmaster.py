"""``manage.py runmaster``: the console's side that is not the web."""

import asyncio
from typing import Any

from django.conf import settings
from django.core.management.base import BaseCommand, CommandParser

from coordination import listener, logformat
from ects_site.master import Master


class Command(BaseCommand):
    """Stands for election; the leader publishes, resyncs, follows the nodes, and keeps the history."""

    help = (
        "Run a master. Any number may run; one leads: it publishes what is not published yet, compares etcd with the "
        "database, follows the nodes' presence, closes runs that nobody took, and prunes the history."
    )

    def add_arguments(self, parser: CommandParser) -> None:
        listening = "HOST:PORT on which it answers /healthz, /readyz and /metrics (ECTS_MASTER_METRICS; nowhere)"
        parser.add_argument("--metrics", type=listener.option, default=settings.ECTS_MASTER_METRICS, help=listening)

    def handle(self, *args: Any, **options: Any) -> None:
        logformat.identify(process="master")
        asyncio.run(Master(options["metrics"]).run())
