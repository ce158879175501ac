"""Applies all migrations to an empty MariaDB, and demands of the server that no statement copies or locks a table of
the history: ``python -m tests.site.online_migrations`` with ECTS_DATABASE_URL. The server refuses what would (1846)."""

import os
import re
from collections.abc import Callable
from typing import Any

import django

HISTORY = "logs_(?:run|steprun|output|rollup|stream)"
ALTER = re.compile(rf"\s*ALTER TABLE `{HISTORY}` ", re.IGNORECASE)
INDEX = re.compile(rf"\s*CREATE (?:UNIQUE )?INDEX `\w+` ON `{HISTORY}`", re.IGNORECASE)


def online(statement: str) -> str:
    """The statement with the demand; MariaDB's NOCOPY allows what rebuilds no table."""
    if ALTER.match(statement):
        return f"{statement.rstrip('; ')}, ALGORITHM=NOCOPY, LOCK=NONE"
    if INDEX.match(statement):
        return f"{statement.rstrip('; ')} ALGORITHM=NOCOPY LOCK=NONE"
    return statement


def demanding(execute: Callable[..., Any], statement: str, *rest: Any) -> Any:
    """A wrapper as of ``connection.execute_wrapper``; prints what it has demanded."""
    wanted = online(statement)
    if wanted != statement:
        print(wanted, flush=True)
    return execute(wanted, *rest)


def main() -> None:
    """All migrations, from none."""
    os.environ["DJANGO_SETTINGS_MODULE"] = "ects_site.settings"
    django.setup()
    from django.core.management import call_command  # noqa: PLC0415 - after setup
    from django.db import connection  # noqa: PLC0415 - after setup

    with connection.execute_wrapper(demanding):
        call_command("migrate", verbosity=0, interactive=False)


if __name__ == "__main__":
    main()
