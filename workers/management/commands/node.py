"""``manage.py node``: drain a node, undrain it, give it another token, retire it."""

from typing import Any

from django.core.management.base import BaseCommand, CommandError, CommandParser
from django.utils import timezone

from workers import lifecycle

ACTS = {
    "drain": (lifecycle.drain, "is to drain"),
    "undrain": (lifecycle.undrain, "is to fire again"),
    "rotate": (lifecycle.rotate, "gets another token with its next delivery"),
    "retire": (lifecycle.retire, "is retired"),
}


class Command(BaseCommand):
    """One act on one node."""

    help = (
        "drain: begin nothing new and end what runs, over restarts too. undrain: fire again, from the next instant on. "
        "rotate: another token; the old one is good until the new one was used. retire: take out of service for good; "
        "bindings and tokens go, the history stays."
    )

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("act", choices=ACTS, help="what becomes of it")
        parser.add_argument("node", help="name or id")
        parser.add_argument("--wait", type=float, default=0, metavar="SECONDS", help="drain: until nothing runs there")

    def handle(self, *args: Any, **options: Any) -> None:
        act, outcome = ACTS[options["act"]]
        try:
            node = act(lifecycle.named(options["node"]).pk, timezone.now())
            self.stdout.write(f"{node.name} {outcome}")
            if options["act"] == "drain" and options["wait"]:
                lifecycle.wait_until_drained(node.pk, options["wait"])
                self.stdout.write(f"{node.name} is drained")
        except lifecycle.Impossible as error:
            raise CommandError(str(error)) from None
