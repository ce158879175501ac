"""What a database holds already, read without knowing whether it is ours."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

from django.utils.translation import gettext as _
from django.utils.translation import ngettext

UNFINISHED = "ects_setup_unfinished"
"""The table that is there while the tables of an empty database are made: what stands beside it is worth nothing."""

SHOWN = 8
"""Names of tables in a sentence."""

Ask = Callable[[str], Sequence[Sequence[Any]]]
"""Runs a query without arguments; its rows."""


@dataclass
class Contents:
    """``administrators`` can sign in and do everything. ``signing``: the id and the encrypted seed of the newest
    signing key, if there is one."""

    tables: list[str] = field(default_factory=list)
    pipelines: int = 0
    tasks: int = 0
    nodes: int = 0
    users: list[str] = field(default_factory=list)
    administrators: list[str] = field(default_factory=list)
    signing: tuple[str, bytes] | None = None

    @property
    def is_unfinished(self) -> bool:
        """Left by a set-up that was cut off: it is begun anew."""
        return UNFINISHED in self.tables

    @property
    def is_ours(self) -> bool:
        """Made by ECTS."""
        return {"pipelines_pipeline", "workers_node", "django_migrations"} <= set(self.tables)

    def in_words(self, place: str) -> list[str]:
        """What somebody has to agree with before it is used; nothing for an empty database."""
        if not self.tables or self.is_unfinished:
            return []
        names = ", ".join(self.tables[:SHOWN]) + (", …" if len(self.tables) > SHOWN else "")
        facts = {"place": place, "count": len(self.tables), "tables": names}
        if not self.is_ours:
            return [
                ngettext(
                    "%(place)s holds %(count)d table that ECTS has not made: %(tables)s.",
                    "%(place)s holds %(count)d tables that ECTS has not made: %(tables)s.",
                    len(self.tables),
                )
                % facts
            ]
        held = [
            ngettext("%(n)d pipeline", "%(n)d pipelines", self.pipelines) % {"n": self.pipelines},
            ngettext("%(n)d task", "%(n)d tasks", self.tasks) % {"n": self.tasks},
            ngettext("%(n)d node", "%(n)d nodes", self.nodes) % {"n": self.nodes},
            ngettext("%(n)d user", "%(n)d users", len(self.users)) % {"n": len(self.users)},
        ]
        facts |= {"held": ", ".join(held)}
        return [_("%(place)s holds an installation of ECTS: %(held)s, in %(count)d tables (%(tables)s).") % facts]


def read(tables: Sequence[str], ask: Ask) -> Contents:
    """``tables``: all there are."""
    found = Contents(tables=sorted(tables))
    if not found.is_ours or found.is_unfinished:
        return found
    for name, table in (("pipelines", "pipelines_pipeline"), ("tasks", "tasks_task"), ("nodes", "workers_node")):
        if table in tables:
            setattr(found, name, int(ask(f"SELECT COUNT(*) FROM {table}")[0][0]))  # noqa: S608 - our own names
    if "auth_user" in tables:
        rows = ask("SELECT username, is_superuser, is_active FROM auth_user ORDER BY id LIMIT 1000")
        found.users = [str(name) for name, _super, _active in rows]
        found.administrators = [str(name) for name, is_super, is_active in rows if is_super and is_active]
    if "workers_signingkey" in tables:
        found.signing = _signing(ask)
    return found


def _signing(ask: Ask) -> tuple[str, bytes] | None:
    """The key that signs; in a database of version 0.1.0, which knew no stages, the newest."""
    has_stages = ask("SELECT 1 FROM django_migrations WHERE app = 'workers' AND name = '0004_signing_keys_in_stages'")
    signs = "WHERE retired_at IS NULL AND signs_since IS NOT NULL" if has_stages else ""
    rows = ask(f"SELECT key_id, ciphertext FROM workers_signingkey {signs} ORDER BY id DESC LIMIT 1")  # noqa: S608
    return (str(rows[0][0]), bytes(rows[0][1])) if rows else None
