"""Is it alive, and is it ready: for load balancers, supervisors and people with curl."""

from collections.abc import Callable

from django.db import connection
from django.db.migrations.executor import MigrationExecutor
from django.http import HttpRequest, HttpResponse, JsonResponse

from workers import store

ETCD_TIMEOUT = 2.0
"""Seconds for etcd's answer."""


def healthz(request: HttpRequest) -> HttpResponse:
    """200 as long as the process answers."""
    return HttpResponse("ok\n", content_type="text/plain")


def readyz(request: HttpRequest) -> JsonResponse:
    """200 when database, migrations and etcd are as they should be, else 503 with what is not and why."""
    checks: dict[str, Callable[[], None]] = {"database": _database, "migrations": _migrations, "etcd": _etcd}
    answers: dict[str, str] = {}
    for name, check in checks.items():
        try:
            check()
            answers[name] = "ok"
        except Exception as error:  # whatever it is, it is the answer
            answers[name] = str(error) or type(error).__name__
    ready = all(answer == "ok" for answer in answers.values())
    return JsonResponse({"ready": ready, **answers}, status=200 if ready else 503)


def _database() -> None:
    with connection.cursor() as cursor:
        cursor.execute("SELECT 1")


def _migrations() -> None:
    executor = MigrationExecutor(connection)
    missing = executor.migration_plan(executor.loader.graph.leaf_nodes())
    if missing:
        raise RuntimeError(f"{len(missing)} migrations are not applied: run manage.py migrate")


def _etcd() -> None:
    store.sync_gateway().get(store.keys().epoch(), timeout=ETCD_TIMEOUT)
