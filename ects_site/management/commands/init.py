"""``manage.py init``: sets up an installation, by a wizard in the browser or from a configuration file."""

import argparse
import sys
from pathlib import Path
from typing import Any

from django.core.management.base import BaseCommand, CommandError, CommandParser

from ects_site import applying, from_file
from ects_site.configuration_file import Invalid
from ects_site.installation import Refused
from ects_site.listening import CannotListen
from ects_site.wizard import host


class Command(BaseCommand):
    """Three front ends of one engine."""

    help = (
        "Set up an installation. --mode web: by a wizard in the browser, at a one-time address that is printed, which "
        "tests everything and then hands over to the running system (manage.py single). --mode json or yaml: from a "
        "configuration file with the sections database, auth, etcd, notification and console, all optional. Makes the "
        "database if it is missing, its tables and an administrator, writes the shared settings to etcd, and keeps the "
        "rest in settings.env in the data directory, so that later commands use it."
    )
    requires_system_checks: list[str] = []

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument(
            "--mode", choices=["web", "json", "yaml"], default="yaml", help="wizard, or form of the file"
        )
        parser.add_argument("--path", type=Path, help="the configuration file")
        parser.add_argument("--name", default="admin", help="the administrator's user name (admin)")
        parser.add_argument("--email", default="admin@localhost", help="the administrator's address")
        parser.add_argument("--pass", dest="password", help="password; better ECTS_ADMIN_PASSWORD: all see this one")
        parser.add_argument("--test-mail", metavar="ADDRESS", help="send a message there through the mail server first")
        parser.add_argument("--force", action="store_true", help="replace settings and the administrator's password")
        parser.add_argument("--adopt", action="store_true", help="use a database and an etcd that hold data already")
        parser.add_argument("--apply", action="store_true", help=argparse.SUPPRESS)

    def handle(self, *args: Any, **options: Any) -> None:
        try:
            if options["apply"]:
                sys.exit(applying.main())
            if options["mode"] == "web":
                host.run(self._say, force=options["force"])
            else:
                from_file.set_up(self._say, options)
        except (Invalid, Refused, CannotListen) as error:
            raise CommandError(str(error)) from None
        except KeyboardInterrupt:
            raise CommandError("Ended; its settings are not kept.") from None

    def _say(self, text: str) -> None:
        """At once, also into a file or a pipe: the wizard's address is of no use at the end."""
        self.stdout.write(text)
        self.stdout.flush()
