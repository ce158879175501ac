"""Bench of a long history: how fast the pages about it are, over the real web process.

Fills a database with runs of 200 pipelines on 10 nodes over the last weeks, four a second, with their statistics, and
the newest of them with steps and output: the first day is written row by row, the days after it are copies of it that
the database makes. Then asks for each page 40 times. Prints one JSON object a line: {"figure", "value", "unit",
"against", "ratio"}; the value is the 95th percentile, the ratio 100 ms divided by it: 1 and more is good.

``--runs``: 5,000,000 on SQLite, 20,000,000 with ``--mariadb`` (a private MariaDB with a buffer pool of 2 GiB), unless
told otherwise; ``--quick`` takes 40,000, and asks less often. The database is SQLite, or what ECTS_DATABASE_URL names.
"""

import argparse
import os
import secrets
import sys
import tempfile
import time
import uuid
from datetime import timedelta
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))

if "--mariadb" in sys.argv:
    os.environ.setdefault("MARIADB_POOL", "2G")
    again = [sys.executable, *(word for word in sys.argv if word != "--mariadb"), "--large"]
    os.execvp("bash", ["bash", "-c", 'source scripts/lib/development.sh; with_mariadb "$@"', "bash", *again])

import django  # noqa: E402

DIRECTORY = tempfile.TemporaryDirectory()
os.environ |= {
    "DJANGO_SETTINGS_MODULE": "ects_site.settings",
    "ECTS_DATA_DIR": DIRECTORY.name,
    "ECTS_DATABASE_URL": os.environ.get("ECTS_DATABASE_URL", f"sqlite:///{DIRECTORY.name}/ects.sqlite3"),
    "ECTS_LOG_LEVEL": "ERROR",
}
django.setup()

from django.contrib.auth import get_user_model  # noqa: E402
from django.core.management import call_command  # noqa: E402
from django.db import connection, transaction  # noqa: E402
from django.db.models import DateTimeField, Model  # noqa: E402
from django.utils import timezone  # noqa: E402

from bench._web import web  # noqa: E402
from bench._worker import percentile, say  # noqa: E402
from coordination.identity import fire_run_id  # noqa: E402
from logs import rollups  # noqa: E402
from logs.models import Output, Rollup, Run, StepRun  # noqa: E402
from logs.rollups import Counted  # noqa: E402
from pipelines.models import Pipeline  # noqa: E402
from workers.models import Node  # noqa: E402

AIM = 100.0
"""Milliseconds."""

TIMES = 40
PIPELINES, NODES = 200, 10
STATES = ("succeeded",) * 17 + ("failed", "skipped", "missed")
BATCH = 20_000
DAY = 4 * 86_400
"""Runs in a day."""
DETAILED = 20_000
"""The newest runs, which have steps and output."""

FIELDS = (
    *("uuid", "pipeline", "pipeline_name", "node", "node_name", "trigger", "state", "reason"),
    *("scheduled_at", "started_at", "finished_at", "attempt", "generation", "count", "until"),
    *("shared", "requested_by", "provisional", "expires_at"),
)
"""Of a run, in the order of the rows below."""

RANDOM_UUID = {
    "sqlite": "lower(hex(randomblob(16)))",
    "mysql": "CONCAT(LEFT(MD5(RAND()), 12), '4', LEFT(MD5(RAND()), 3), 'a', LEFT(MD5(RAND()), 15))",
}
"""As an expression of the database; MariaDB takes only what is a UUID of RFC 9562."""

PASSWORD = secrets.token_urlsafe(12)


class Filler:
    """Writes runs, oldest first."""

    def __init__(self, runs: int) -> None:
        self.first = min(runs, DAY)
        self.days = max(1, round(runs / DAY))
        span = timedelta(seconds=self.first * self.days // 4)
        self.begin = (timezone.now() - span).replace(minute=0, second=0, microsecond=0)
        self.nodes = [Node.objects.create(name=f"node-{number:02}", online=True) for number in range(NODES)]
        made = [Pipeline(name=f"pipeline-{number:03}", schedule="*/5 * * * *") for number in range(PIPELINES)]
        self.pipelines = Pipeline.objects.bulk_create(made)

    def fill(self) -> int:
        """All of them, with their statistics; how many."""
        for start in range(0, self.first, BATCH):
            rows = [self._row(number) for number in range(start, min(start + BATCH, self.first))]
            with transaction.atomic():
                self._insert(rows)
                rollups.move([], [self._counted(row) for row in rows])
        hours = Rollup.objects.filter(span=Rollup.Span.HOUR).order_by("-begins_at").values_list("begins_at", flat=True)
        newest = hours[0]
        for day in range(1, self.days):
            with transaction.atomic(), connection.cursor() as cursor:
                cursor.execute(self._copying(Run, day, f"id <= {self.first}"))
                cursor.execute(self._copying(Rollup, day, "span = 'hour' AND begins_at <= %s"), [newest])
            print(f"{(day + 1) * self.first} runs", file=sys.stderr, flush=True)
        with transaction.atomic(), connection.cursor() as cursor:
            Rollup.objects.filter(span=Rollup.Span.DAY).delete()
            cursor.execute(self._folding())
        self._detail()
        return self.first * self.days

    def _copying(self, model: type[Model], days: int, which: str) -> str:
        """The statement that adds the rows of the first day again, so many days later."""
        copied = {}
        for field in (field for field in model._meta.concrete_fields if field.column and field.column != "id"):
            moved = f"{field.column} + INTERVAL {days} DAY"
            if connection.vendor == "sqlite":
                moved = f"date({field.column}, '+{days} days') || substr({field.column}, 11)"
            copied[f"`{field.column}`"] = moved if isinstance(field, DateTimeField) else f"`{field.column}`"
        if model is Run:
            copied["`uuid`"] = RANDOM_UUID[connection.vendor]
        table = model._meta.db_table
        return (
            f"INSERT INTO {table} ({', '.join(copied)}) SELECT {', '.join(copied.values())} FROM {table} WHERE {which}"
        )

    def _folding(self) -> str:
        """The statement that makes days of hours."""
        day = "strftime('%%Y-%%m-%%d 00:00:00', begins_at)" if connection.vendor == "sqlite" else "DATE(begins_at)"
        folded = {"pipeline": "pipeline", "span": "'day'", "begins_at": day, "node": "node"}
        for field in (field for field in Rollup._meta.concrete_fields if field.column and field.column not in folded):
            how = {"duration_min": "MIN", "duration_max": "MAX"}.get(field.column, "SUM")
            folded[field.column] = f"{how}({field.column})"
        table = Rollup._meta.db_table
        return (
            f"INSERT INTO {table} ({', '.join(folded)}) SELECT {', '.join(folded.values())} FROM {table} "
            f"WHERE span = 'hour' GROUP BY pipeline, {day}, node"
        ).replace("%%", "%")

    def _row(self, number: int) -> tuple[Any, ...]:
        pipeline, node = self.pipelines[number % PIPELINES], self.nodes[number // PIPELINES % NODES]
        state = STATES[number * 7 % len(STATES)]
        at = self.begin + timedelta(seconds=number // 4, milliseconds=number % 4)
        ran = state in ("succeeded", "failed")
        name = uuid.UUID(fire_run_id(str(pipeline.pk), at, str(node.pk), 1))
        return (
            name, pipeline.pk, pipeline.name, node.pk, node.name, "schedule", state, "" if ran else "why", at,
            at if ran else None, at + timedelta(milliseconds=300 + number % 900) if ran else None, 1, 1, 1, None, False,
            "", False, None,
        )  # fmt: skip

    def _insert(self, rows: list[tuple[Any, ...]]) -> None:
        fields = [field for field in Run._meta.concrete_fields if not field.primary_key]
        named = {name: place for place, name in enumerate(FIELDS)}
        assert set(named) == {field.name for field in fields}
        places = ", ".join(["%s"] * len(fields))
        names = ", ".join(connection.ops.quote_name(field.column) for field in fields)
        adapted = [
            tuple(field.get_db_prep_save(row[named[field.name]], connection) for field in fields) for row in rows
        ]
        with connection.cursor() as cursor:
            cursor.executemany(f"INSERT INTO {Run._meta.db_table} ({names}) VALUES ({places})", adapted)

    def _counted(self, row: tuple[Any, ...]) -> Counted:
        return Counted(row[1], row[3], row[6], row[8], row[9], row[10], 1, "schedule")

    def _detail(self) -> None:
        newest = list(Run.objects.order_by("-pk").values_list("uuid", flat=True)[:DETAILED])
        values = {"position": 0, "task": 1, "task_name": "t", "kind": "shell", "state": "succeeded"}
        steps = [StepRun(run_id=run, index=index, **values) for run in newest for index in (0, 1)]
        StepRun.objects.bulk_create(steps, batch_size=2000)
        text = b"2026-01-01 00:00:00 backup of /srv/data: nothing wrong\n" * 20
        pieces = [Output(run=run, index=0, number=0, offset=0, data=text) for run in newest]
        Output.objects.bulk_create(pieces, batch_size=1000)


def pages() -> dict[str, str]:
    """What is asked for."""
    run = Run.objects.order_by("-pk").first()
    assert run is not None
    pipeline, node = Pipeline.objects.get(name="pipeline-003").pk, Node.objects.get(name="node-03").pk
    of_day = f"/admin/logs/run/?day={run.scheduled_at - timedelta(days=1):%Y-%m-%d}"
    day = (timezone.now() - timedelta(hours=2)).strftime("%Y-%m-%dT%H:%M:%SZ")
    return {
        "dashboard": "/admin/",
        "fires of the next hour": "/admin/next-hour/",
        "runs": "/admin/logs/run/",
        "runs by state": "/admin/logs/run/?state__exact=failed",
        "runs by pipeline": f"/admin/logs/run/?pipeline={pipeline}",
        "runs by pipeline and state": f"/admin/logs/run/?pipeline={pipeline}&state__exact=missed",
        "runs by node": f"/admin/logs/run/?node={node}",
        "runs of a day": of_day,
        "runs of a day by state": f"{of_day}&state__exact=failed",
        "runs of a day by a state that is rare": f"{of_day}&state__exact=lost",
        "runs of a day by pipeline and state": f"{of_day}&pipeline={pipeline}&state__exact=missed",
        "runs of a day by node": f"{of_day}&node={node}",
        "search by name": "/admin/logs/run/?q=pipeline-00",
        "a run": f"/admin/logs/run/{run.pk}/change/",
        "news of a run": f"/admin/logs/run/{run.uuid}/poll/",
        "pipelines, with sparklines": "/admin/pipelines/pipeline/",
        "a pipeline": f"/admin/pipelines/pipeline/{pipeline}/change/",
        "why": f"/admin/pipelines/pipeline/{pipeline}/explain/?at={run.scheduled_at.isoformat().replace('+', '%2B')}",
        "API, runs": "/api/v1/runs/",
        "API, runs since": f"/api/v1/runs/?since={day}",
        "API, runs by pipeline and state": f"/api/v1/runs/?pipeline={pipeline}&state=failed",
        "metrics": "/metrics",
    }


def main() -> None:
    """Reads the command line, fills and measures."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--quick", action="store_true", help="40,000 runs, each page six times instead of forty")
    parser.add_argument("--runs", type=int, help="so many")
    parser.add_argument("--large", action="store_true", help=argparse.SUPPRESS)
    options = parser.parse_args()
    runs = options.runs or (40_000 if options.quick else 20_000_000 if options.large else 5_000_000)
    call_command("migrate", verbosity=0, interactive=False)
    get_user_model().objects.create_superuser("bench", password=PASSWORD)
    began = time.monotonic()
    runs = Filler(runs).fill()
    say(f"filling, {runs} runs", runs / (time.monotonic() - began), "runs/s", "the same", 1)
    with connection.cursor() as cursor:
        cursor.execute("ANALYZE" if connection.vendor == "sqlite" else f"ANALYZE TABLE {Run._meta.db_table}")
    asked = pages()
    connection.close()
    with web(PASSWORD) as (_base, client):
        for name, address in asked.items():
            client.get(address)
            times = []
            for _ in range(6 if options.quick else TIMES):
                start = time.perf_counter()
                reply = client.get(address)
                times.append((time.perf_counter() - start) * 1e3)
                assert reply.status_code == 200, (address, reply.status_code)
            value = percentile(times, 0.95)
            say(f"{name}, 95th percentile with {runs} runs on {connection.vendor}", value, "ms", "100 ms", AIM / value)


if __name__ == "__main__":
    main()
