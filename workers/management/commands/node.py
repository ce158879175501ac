"""``manage.py node``: drain a node, undrain it, give it another token, retire it."""

import time
from typing import Any
from uuid import UUID

from django.core.management.base import BaseCommand, CommandError, CommandParser
from django.db.models import Q
from django.utils import timezone

from workers import lifecycle
from workers.models import Node

ACTS = {
    "drain": (lifecycle.drain, "is to drain"),
    "undrain": (lifecycle.undrain, "is to fire again"),
    "rotate": (lifecycle.rotate, "gets another token with its next delivery"),
    "retire": (lifecycle.retire, "is retired"),
}


POLL = 0.5
"""Seconds between two looks."""


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
        node = _find(options["node"])
        act, outcome = ACTS[options["act"]]
        try:
            act(node.pk, timezone.now())
        except lifecycle.Impossible as error:
            raise CommandError(str(error)) from None
        self.stdout.write(f"{node.name} {outcome}")
        if options["act"] == "drain" and options["wait"]:
            _wait_until_drained(node, options["wait"])
            self.stdout.write(f"{node.name} is drained")


def _wait_until_drained(node: Node, seconds: float) -> None:
    deadline = time.monotonic() + seconds
    while True:
        node.refresh_from_db()
        if node.is_drained:
            return
        if time.monotonic() > deadline:
            words = f"{node.running} runs are going" if node.draining else "it has not confirmed that it drains"
            raise CommandError(f"{node.name} is not drained after {seconds:g} s: {words}")
        time.sleep(POLL)


def _find(text: str) -> Node:
    try:
        by_id = Q(pk=UUID(text))
    except ValueError:
        by_id = Q()
    node = Node.objects.filter(Q(name=text) | by_id if by_id else Q(name=text)).first()
    if node is None:
        raise CommandError(f"there is no node {text!r}")
    return node
