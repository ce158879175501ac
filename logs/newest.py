"""The newest runs of many pipelines in one query, each pipeline's read by the index and no further."""

from collections.abc import Iterable
from uuid import UUID

from django.db import connection

from logs.models import Run

OF_EACH = 30
"""Runs of each pipeline."""


def newest_runs(pipelines: Iterable[UUID], most: int = OF_EACH) -> dict[UUID, list[Run]]:
    """The last ``most`` runs of each, oldest first; a pipeline without runs is not in it. Of a run only the id, the
    pipeline, the state and the instants are read.

    Written by hand: Django has no limit for each part of a union on SQLite, and a window function would number every
    run that there is.
    """
    wanted = list(dict.fromkeys(pipelines))
    if not wanted:
        return {}
    quote, field = connection.ops.quote_name, Run._meta.get_field("pipeline")
    columns = ", ".join(map(quote, ("id", "pipeline", "state", "scheduled_at", "started_at", "finished_at", "count")))
    table, pipeline = quote(Run._meta.db_table), quote("pipeline")
    newest = f"SELECT {columns} FROM {table} WHERE {pipeline} = %s ORDER BY id DESC LIMIT {int(most)}"  # noqa: S608
    of_one = f"SELECT * FROM ({newest}) AS newest"  # noqa: S608
    values = [field.get_db_prep_value(one, connection) for one in wanted]
    found: dict[UUID, list[Run]] = {}
    for run in Run.objects.raw(" UNION ALL ".join([of_one] * len(wanted)), values):
        found.setdefault(run.pipeline, []).append(run)
    return {pipeline: sorted(runs, key=lambda run: run.pk) for pipeline, runs in found.items()}
