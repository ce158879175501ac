"""Rows by the hundred: multi-row upserts past the ORM's instances, the same on SQLite, MySQL and MariaDB."""

from collections.abc import Callable, Iterable, Sequence
from datetime import UTC, datetime
from typing import Any

from django.db import connection, models

Adapt = Callable[[Any], Any]


class Table:
    """The named columns of a model, written in bulk. ``unique`` are the model fields that name a row."""

    def __init__(self, model: type[models.Model], columns: Sequence[str], unique: Sequence[str]) -> None:
        self._model = model
        self._fields: list[Any] = [model._meta.get_field(name) for name in columns]
        self._unique: list[Any] = [model._meta.get_field(name) for name in unique]

    def upsert(self, rows: Iterable[Sequence[Any]]) -> None:
        """Inserts each row, or replaces the one of the same name. Values in the order of the columns."""
        adapters = [_adapter(field) for field in self._fields]
        adapted = [tuple(adapt(value) for adapt, value in zip(adapters, row, strict=True)) for row in rows]
        if adapted:
            with connection.cursor() as cursor:
                cursor.executemany(self._statement(), adapted)

    def _statement(self) -> str:
        quote = connection.ops.quote_name
        columns = [quote(field.column) for field in self._fields]
        unique = [quote(field.column) for field in self._unique]
        names, places = ", ".join(columns), ", ".join(["%s"] * len(columns))
        insert = f"INSERT INTO {quote(self._model._meta.db_table)} ({names}) VALUES ({places})"  # noqa: S608
        changed = [column for column in columns if column not in unique]
        if connection.vendor == "mysql":
            updates = ", ".join(f"{column} = VALUES({column})" for column in changed)
            return f"{insert} ON DUPLICATE KEY UPDATE {updates}"
        updates = ", ".join(f"{column} = excluded.{column}" for column in changed)
        return f"{insert} ON CONFLICT ({', '.join(unique)}) DO UPDATE SET {updates}"


def _adapter(field: Any) -> Adapt:
    """Only what the database's driver does not do by itself goes through the field."""
    target = field.target_field if field.is_relation else field
    if isinstance(target, models.DateTimeField):
        return _datetime
    if isinstance(target, models.UUIDField):
        return (lambda value: str(value)) if connection.features.has_native_uuid_field else (lambda value: value.hex)
    return lambda value: value


def _datetime(value: datetime | None) -> Any:
    return None if value is None else connection.ops.adapt_datetimefield_value(value.astimezone(UTC))
