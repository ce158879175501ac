"""``manage.py init``: sets up an installation from a configuration file."""

import argparse
import sys
from pathlib import Path
from typing import Any

from django.core.management.base import BaseCommand, CommandError, CommandParser

from ects_site import configuration_file, installation, mysql


class Command(BaseCommand):
    """Tables, administrator, etcd and settings, from the original system's file."""

    help = (
        "Set up an installation from a configuration file with the sections database, auth, etcd and notification, all "
        "optional. Makes the database if it is missing, its tables and an administrator, writes the shared settings to "
        "etcd, and keeps the rest in settings.env in the data directory, so that later commands use it."
    )
    requires_system_checks: list[str] = []

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("--mode", choices=["json", "yaml"], default="yaml", help="form of the file (yaml)")
        parser.add_argument("--path", type=Path, help="the configuration file")
        parser.add_argument("--name", default="admin", help="the administrator's user name (admin)")
        parser.add_argument("--email", default="admin@localhost", help="the administrator's address")
        parser.add_argument("--pass", dest="password", help="password; better ECTS_ADMIN_PASSWORD: all see this one")
        parser.add_argument("--force", action="store_true", help="replace settings and the administrator's password")
        parser.add_argument("--apply", action="store_true", help=argparse.SUPPRESS)

    def handle(self, *args: Any, **options: Any) -> None:
        try:
            if options["apply"]:
                return installation.apply(force=options["force"])
            self._set_up(options)
        except (configuration_file.Invalid, installation.Refused, mysql.CannotMake) as error:
            raise CommandError(str(error)) from None

    def _set_up(self, options: dict[str, Any]) -> None:
        if options["path"] is None:
            raise CommandError("--path is missing: the configuration file")
        configuration = configuration_file.read(options["path"], options["mode"])
        wanted = configuration_file.environment(configuration)
        account = installation.account(options["name"], options["email"], options["password"])
        installation.check(wanted, force=options["force"])
        if configuration.auth.secret and "ECTS_SECRET_KEY" not in wanted:
            self.stderr.write("auth.secret: too short to sign with; a random one is made and kept instead")
        if configuration.database and mysql.create_database(configuration.database):
            self.stdout.write(f"made the database {configuration.database.name}")
        if status := installation.set_up(wanted, account, force=options["force"]):
            sys.exit(status)
        self.stdout.write(f"ECTS is set up; {options['name']} may sign in.")
