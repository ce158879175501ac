"""``manage.py migrate``: Django's own, without the time limit that a request has for an answer of MySQL or MariaDB."""

from typing import Any

from django.core.management.commands import migrate
from django.db import connections

LIMITS = ("read_timeout", "write_timeout")
"""Seconds for which the server may be silent. An index on a table of millions of rows takes longer."""


class Command(migrate.Command):
    """Patient."""

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
