"""``manage.py setup``: what an installation by containers needs once, and may do again without harm."""

import os
from argparse import ArgumentTypeError
from pathlib import Path
from typing import Any

from django.core.management import call_command
from django.core.management.base import BaseCommand, CommandError, CommandParser
from django.utils import timezone

from ects_site import example
from workers import accounts, token_file

YEAR = 366 * 86_400
"""Seconds."""


def _hosts(text: str) -> int:
    if not 1 <= (hosts := int(text)) <= 1000:
        raise ArgumentTypeError("must be 1 to 1000")
    return hosts


def _seconds(text: str) -> float:
    if not 0 < (seconds := float(text)) <= YEAR:
        raise ArgumentTypeError(f"must be above 0 and at most {YEAR}, a year")
    return seconds


class Command(BaseCommand):
    """Tables, an administrator, a token for workers."""

    help = (
        "Bring the database up to date, make the administrator on an empty one (password from ECTS_ADMIN_PASSWORD or "
        "ECTS_ADMIN_PASSWORD_FILE, else made up and shown), and keep an enrolment token in a file while "
        "workers are missing."
    )

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument(
            "--token-file",
            type=Path,
            help="write an enrolment token here, readable by this user only; the one that is there is good no longer, "
            "and the file is removed when no host is missing",
        )
        parser.add_argument("--uses", type=_hosts, default=1, help="hosts that are to join, with those that have (1)")
        parser.add_argument("--secure-etcd", action="store_true", help="have etcd ask for passwords; its user is root")
        parser.add_argument("--expires-in", type=_seconds, default=86400, help="seconds for which it is good (86400)")

    def handle(self, *args: Any, **options: Any) -> None:
        call_command("migrate", verbosity=0, interactive=False)
        if options["secure_etcd"]:
            try:
                accounts.secure_etcd()
            except accounts.CannotSecure as error:
                raise CommandError(f"--secure-etcd: {error}") from None
        password = example.make_admin()
        if password is not None:
            given = os.environ.get("ECTS_ADMIN_PASSWORD") or os.environ.get("ECTS_ADMIN_PASSWORD_FILE")
            shown = "as given" if given else password
            self.stdout.write(f"administrator: {example.ADMIN}, password: {shown}")
        if options["token_file"]:
            path, hosts = options["token_file"], options["uses"]
            try:
                row = token_file.offer(path, timezone.now(), hosts=hosts, expires_in=options["expires_in"])
            except token_file.Unusable as error:
                raise CommandError(f"--token-file: {error}") from None
            told = f"in {path}, good until {row.expires_at:%Y-%m-%d %H:%M} UTC" if row else "none, no host is missing"
            self.stdout.write(f"enrolment token: {told}")
