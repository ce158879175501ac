"""Rows by the hundred: multi-row inserts past the ORM's instances, the same on SQLite, MySQL and MariaDB."""

from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from datetime import datetime
from typing import Any

from django.db import connection, models

Rows = list[tuple[Any, ...]]
"""Values as the database's driver takes them, in the order of the columns (``Table.adapted``)."""


class Table:
    """The named columns of a model, written in bulk. ``unique`` are the model fields that name a row."""

    def __init__(self, model: type[models.Model], columns: Sequence[str], unique: Sequence[str]) -> None:
        self._model = model
        self._fields: list[Any] = [model._meta.get_field(name) for name in columns]
        self._unique: list[Any] = [model._meta.get_field(name) for name in unique]

    def adapted(self, rows: Iterable[Sequence[Any]]) -> Rows:
        """Only what the driver does not do by itself is changed, and only columns that need it are looked at."""
        adapters = [(place, adapt) for place, field in enumerate(self._fields) if (adapt := _adapter(field))]
        found = []
        for row in rows:
            values = list(row)
            for place, adapt in adapters:
                if (value := values[place]) is not None:
                    values[place] = adapt(value)
            found.append(tuple(values))
        return found

    def insert(self, rows: Rows) -> None:
        """Raises IntegrityError when one of such a name is there."""
        self._execute(self._insert(), rows)

    def upsert(self, rows: Rows) -> None:
        """Inserts each row, or replaces the one of the same name."""
        changes = {field.name: "{new}" for field in self._fields if field not in self._unique}
        self._execute(self._insert() + self._on_conflict(changes), rows)

    def accumulate(self, rows: Rows, sums: Collection[str], least: str, most: str) -> None:
        """Inserts each row, or adds its ``sums`` to the row of the same name and widens the extremes, which may be
        NULL."""
        smaller, greater = ("LEAST", "GREATEST") if connection.vendor == "mysql" else ("MIN", "MAX")
        changes = dict.fromkeys(sums, "{old} + {new}")
        for name, choice in ((least, smaller), (most, greater)):
            changes[name] = f"{choice}(COALESCE({{old}}, {{new}}), COALESCE({{new}}, {{old}}))"
        self._execute(self._insert() + self._on_conflict(changes), rows)

    def _execute(self, statement: str, rows: Rows) -> None:
        if rows:
            with connection.cursor() as cursor:
                cursor.executemany(statement, rows)

    def _insert(self) -> str:
        columns = [self._quoted(field) for field in self._fields]
        places = ", ".join(["%s"] * len(columns))
        # In one line: so the driver of MySQL recognizes it, and makes one statement of many rows.
        return f"INSERT INTO {self._table} ({', '.join(columns)}) VALUES ({places})"  # noqa: S608

    def _on_conflict(self, changes: Mapping[str, str]) -> str:
        """``changes``: by field, the expression for its column, in terms of ``{old}`` and ``{new}``."""
        is_mysql = connection.vendor == "mysql"
        assignments = []
        for field in self._fields:
            if change := changes.get(field.name):
                column = self._quoted(field)
                new = f"VALUES({column})" if is_mysql else f"excluded.{column}"
                assignments.append(f"{column} = " + change.format(old=f"{self._table}.{column}", new=new))
        if is_mysql:
            return " ON DUPLICATE KEY UPDATE " + ", ".join(assignments)
        unique = ", ".join(map(self._quoted, self._unique))
        return f" ON CONFLICT ({unique}) DO UPDATE SET " + ", ".join(assignments)

    @property
    def _table(self) -> str:
        return connection.ops.quote_name(self._model._meta.db_table)

    def _quoted(self, field: Any) -> str:
        return connection.ops.quote_name(field.column)


def _adapter(field: Any) -> Callable[[Any], Any] | None:
    """None for what the driver takes as it is."""
    target = field.target_field if field.is_relation else field
    if isinstance(target, models.DateTimeField):
        zone = connection.timezone

        def naive(value: datetime) -> str:
            return str(value.astimezone(zone).replace(tzinfo=None))

        return naive
    if isinstance(target, models.UUIDField):
        return str if connection.features.has_native_uuid_field else _hex
    return None


def _hex(value: Any) -> str:
    return value.hex
