"""The part of a set-up that works under the new settings, in a process of its own: tables, keys, administrator, etcd.

It can be cut off at any point. Tables that were begun in an empty database are made anew the next time: MySQL cannot
undo half a migration.
"""

import io
import json
import os
import sys

import msgspec
from django.conf import settings
from django.contrib.auth import get_user_model
from django.core.management import call_command
from django.db import connection, transaction
from django.db.migrations.executor import MigrationExecutor
from django.utils.translation import gettext as _

from coordination.crypto import CannotOpen
from coordination.errors import CoordinationError
from ects_site.installation import Order, Refused, Say
from ects_site.probes.contents import UNFINISHED
from pipelines import publishing
from workers import keyring, store


def main() -> int:
    """Reads the order from the standard input and reports in lines of JSON; the status to exit with."""
    events, sys.stdout = sys.stdout, sys.stderr

    def tell(**event: str) -> None:
        print(json.dumps(event), file=events, flush=True)

    try:
        apply(msgspec.json.decode(sys.stdin.read(), type=Order), lambda step, word: tell(step=step, word=word))
    except Refused as error:
        tell(refused=str(error))
        return 1
    except Exception as error:
        tell(refused=f"{type(error).__name__}: {error}")
        raise
    return 0


def apply(order: Order, say: Say) -> None:
    """All steps. Raises Refused."""
    # Without an etcd in the configuration, ``single`` starts its own later, and the master publishes there.
    named = "ECTS_ETCD_ENDPOINTS" in os.environ
    if named:
        say("etcd", ", ".join(settings.ECTS_ETCD.endpoints))
        _check_etcd()
    say("tables", "")
    _make_tables(say)
    say("keys", "")
    say("keys", _make_key(order.signing))
    say("administrator", order.name if order.password else "")
    _make_administrator(order)
    if named:
        say("config", settings.ECTS_ETCD_PREFIX)
        publishing.publish_config()
    _finish()


def _check_etcd() -> None:
    try:
        store.sync_gateway().get(store.keys().config())
    except CoordinationError as error:
        raise Refused(f"etcd.endpoints: {', '.join(settings.ECTS_ETCD.endpoints)}: {error}") from None


class _Counter(io.TextIOBase):
    """Reads along what ``migrate`` prints."""

    def __init__(self, say: Say, total: int) -> None:
        self._say = say
        self._total = total
        self._done = 0

    def write(self, text: str) -> int:
        if "Applying " in text:
            self._done += 1
            self._say("tables", f"{self._done} / {self._total}")
        return len(text)


def _make_tables(say: Say) -> None:
    tables = connection.introspection.table_names()
    if UNFINISHED in tables:
        _drop(tables)
    if UNFINISHED in tables or not tables:
        with connection.cursor() as cursor:
            cursor.execute(f"CREATE TABLE {UNFINISHED} (id INTEGER)")
    executor = MigrationExecutor(connection)
    plan = executor.migration_plan(executor.loader.graph.leaf_nodes())
    call_command("migrate", verbosity=1, interactive=False, no_color=True, stdout=_Counter(say, len(plan)))


def _drop(tables: list[str]) -> None:
    """All tables of a database that was empty when they were begun; the one that says so last."""
    with connection.constraint_checks_disabled(), connection.cursor() as cursor:
        for table in sorted(tables, key=lambda name: name == UNFINISHED):
            cursor.execute(f"DROP TABLE {connection.ops.quote_name(table)}")


def _finish() -> None:
    with connection.cursor() as cursor:
        cursor.execute(f"DROP TABLE IF EXISTS {UNFINISHED}")


def _make_key(seed: str) -> str:
    """The fingerprint of the key that signs."""
    try:
        return (keyring.adopt(bytes.fromhex(seed)) if seed else keyring.signer()).key_id
    except keyring.Another as error:
        raise Refused(_("auth.signing: the database has a signing key of its own, %(key)s") % {"key": error}) from None
    except CannotOpen as error:
        raise Refused(
            _("auth.encryption: the database's signing key does not open: %(why)s") % {"why": error}
        ) from None


@transaction.atomic
def _make_administrator(order: Order) -> None:
    users = get_user_model().objects
    if not order.password:
        if not users.filter(is_superuser=True, is_active=True).exists():
            raise Refused(_("--pass: there is no administrator yet, and a password is needed to make one"))
        return
    user = users.filter(username=order.name).first()
    if user is None:
        users.create_superuser(order.name, order.email, order.password)
        return
    if not order.force:
        raise Refused(
            _("there is a user %(name)s already: --force makes an administrator of it, with this password")
            % {"name": order.name}
        )
    user.email, user.is_staff, user.is_superuser, user.is_active = order.email, True, True, True
    user.set_password(order.password)
    user.save()
