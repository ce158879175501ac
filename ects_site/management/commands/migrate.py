"""``manage.py migrate``: Django's own, without the time limit that a request has for an answer of MySQL or MariaDB."""

import os
from typing import Any

from django.core.management.base import CommandError
from django.core.management.commands import migrate
from django.db import OperationalError, connections

LIMITS = ("read_timeout", "write_timeout")
"""Seconds for which the server may be silent. An index on a table of millions of rows takes longer."""


class Command(migrate.Command):
    """Patient."""

    def execute(self, *args: Any, **options: Any) -> str | None:
        connection = connections[options["database"]]
        try:
            # Before Django's checks, which would end in a traceback.
            connection.ensure_connection()
        except OperationalError as error:
            files = connection.settings_dict["OPTIONS"].get("ssl", {}).values()
            missing = [path for path in files if not os.access(path, os.R_OK)]
            why = f"{', '.join(missing)} cannot be read" if missing else str(error.args[-1])
            raise CommandError(f"the database cannot be used: {why}. Check ECTS_DATABASE_URL") from None
        return super().execute(*args, **options)

    def handle(self, *args: Any, **options: Any) -> None:
        connection = connections[options["database"]]
        given = connection.settings_dict["OPTIONS"]
        limits = {name: given.pop(name) for name in LIMITS if name in given}
        if limits and not connection.in_atomic_block:
            connection.close()  # the next one has no limit
        try:
            super().handle(*args, **options)
        finally:
            given.update(limits)
            if limits and not connection.in_atomic_block:
                connection.close()
