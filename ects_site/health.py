"""Is it alive, and is it ready: for load balancers, supervisors and people with curl."""

import time
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor

from django.db import connection
from django.db.migrations.executor import MigrationExecutor
from django.http import HttpRequest, HttpResponse, JsonResponse

from workers import store

TIMEOUT = 2.0
"""Seconds for all checks, which run side by side."""

REASON_LENGTH = 300
"""Characters of a reason."""

# Bounded: checks that hang (a database that accepts and never answers) do not pile up, and say so all the same.
_threads = ThreadPoolExecutor(max_workers=3, thread_name_prefix="health")


def healthz(request: HttpRequest) -> HttpResponse:
    """200 as long as the process answers."""
    return HttpResponse("ok\n", content_type="text/plain")


def readyz(request: HttpRequest) -> JsonResponse:
    """200 when database, migrations and etcd are as they should be, else 503 with what is not and why."""
    found = answers()
    ready = all(answer == "ok" for answer in found.values())
    return JsonResponse({"ready": ready, **found}, status=200 if ready else 503)


def answers() -> dict[str, str]:
    """What each check has to say, ``ok`` or a reason, within ``TIMEOUT`` seconds."""
    deadline = time.monotonic() + TIMEOUT
    checks = {name: _threads.submit(check) for name, check in CHECKS.items()}
    return {name: _answer(check, deadline) for name, check in checks.items()}


def _answer(check: Future[None], deadline: float) -> str:
    try:
        check.result(max(0.0, deadline - time.monotonic()))
        return "ok"
    except TimeoutError:
        check.cancel()
        return f"no answer within {TIMEOUT:g} s"
    except Exception as error:  # whatever it is, it is the answer
        return str(error)[:REASON_LENGTH] or type(error).__name__


def _database() -> None:
    try:
        with connection.cursor() as cursor:
            cursor.execute("SELECT 1")
    finally:
        connection.close()


def _migrations() -> None:
    try:
        executor = MigrationExecutor(connection)
        missing = executor.migration_plan(executor.loader.graph.leaf_nodes())
    finally:
        connection.close()
    if missing:
        raise RuntimeError(f"{len(missing)} migrations are not applied: run manage.py migrate")


def _etcd() -> None:
    store.sync_gateway().get(store.keys().epoch(), timeout=TIMEOUT / 2)


CHECKS: dict[str, Callable[[], None]] = {"database": _database, "migrations": _migrations, "etcd": _etcd}
