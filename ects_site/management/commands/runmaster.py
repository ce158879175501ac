"""``manage.py runmaster``: the console's side that is not the web."""

import asyncio
from typing import Any

from django.core.management.base import BaseCommand, CommandParser

from coordination import logformat
from ects_site import master_options
from ects_site.master import Master


class Command(BaseCommand):
    """Stands for election; the leader publishes, resyncs, follows the nodes, and keeps the history."""

    help = (
        "Run a master. Any number may run; one leads: it publishes what is not published yet, compares etcd with the "
        "database, follows the nodes' presence, closes runs that nobody took, and prunes the history. Settings come "
        "from the environment; the options say what the console shows of it, and where etcd is."
    )

    def add_arguments(self, parser: CommandParser) -> None:
        master_options.add(parser)

    def handle(self, *args: Any, **options: Any) -> None:
        logformat.identify(process="master")
        master_options.use_etcd(options["etcd"], options["config"])
        said = {name: options[name] for name in ("node", "name", "desc", "host", "port", "metrics")}
        asyncio.run(Master(master_options.announcement(**said)).run())
