"""``manage.py setup``: what an installation by containers needs once, and may do again without harm."""

import os
from pathlib import Path
from typing import Any

from django.core.management import call_command
from django.core.management.base import BaseCommand, CommandError, CommandParser
from django.utils import timezone

from ects_site import example
from workers import accounts, enrolment


class Command(BaseCommand):
    """Tables, an administrator, a token for workers."""

    help = (
        "Bring the database up to date, make the administrator on an empty one (password from ECTS_ADMIN_PASSWORD or "
        "ECTS_ADMIN_PASSWORD_FILE, else made up and shown), and write an enrolment token for workers into a file."
    )

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("--token-file", type=Path, help="write an enrolment token here, readable by this user only")
        parser.add_argument("--uses", type=int, default=1, help="hosts that may join with it (1)")
        parser.add_argument("--secure-etcd", action="store_true", help="have etcd ask for passwords; its user is root")
        parser.add_argument("--expires-in", type=float, default=86400, help="seconds for which it is good (86400)")

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
            token, row = enrolment.make_token(
                now=timezone.now(), uses=options["uses"], expires_in=options["expires_in"]
            )
            descriptor = os.open(options["token_file"], os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
            with os.fdopen(descriptor, "w") as file:
                file.write(token)
            self.stdout.write(
                f"enrolment token: in {options['token_file']}, good until {row.expires_at:%Y-%m-%d %H:%M} UTC"
            )
