"""Connections to MySQL and MariaDB that are encrypted where that is asked for.

MariaDB's client library takes ``ssl_mode=REQUIRED`` for a wish, and goes on in the clear with a server that has no TLS
(mysql_optionsv, MYSQL_OPT_SSL_ENFORCE). Of the modes that verify it makes a condition itself.
"""

from collections.abc import Mapping
from typing import Any

from django.db import OperationalError
from django.db.backends.base.base import BaseDatabaseWrapper

CIPHER = "SHOW STATUS LIKE 'Ssl_cipher'"

PLAIN = "TLS is required (ssl_mode of ECTS_DATABASE_URL), but the database does not offer it: switch it on there"


def is_plain(cursor: Any, options: Mapping[str, object]) -> bool:
    """Whether the connection is in the clear although it has to be encrypted. ``options``: of the driver."""
    if options.get("ssl_mode") != "REQUIRED":
        return False
    cursor.execute(CIPHER)
    return not cursor.fetchone()[1]


def refuse_plain(connection: BaseDatabaseWrapper, **_facts: object) -> None:
    """For Django's ``connection_created``. Raises OperationalError, before anything is asked of the database."""
    with connection.cursor() as cursor:
        is_refused = is_plain(cursor, connection.settings_dict["OPTIONS"])
    if is_refused:
        connection.close()
        raise OperationalError(PLAIN)
