"""No page about the history reads all of it: the plans of the very queries that the pages make."""

import json
import re
import uuid
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

import pytest
from django.contrib.auth import get_user_model
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext

from coordination.identity import fire_run_id
from ects_site import metrics
from logs.models import Output, Run, StepRun
from pipelines.models import Pipeline
from tests.pipelines import makers

NOON = datetime(2026, 3, 2, 12, tzinfo=UTC)
STATES = ("succeeded", "succeeded", "succeeded", "failed", "skipped", "missed")
RUNS = 6000
HISTORY = ("logs_run", "logs_steprun", "logs_output")


class History:
    """Enough runs that a database would rather use its indexes than not."""

    def __init__(self) -> None:
        self.nodes = [makers.node(f"node-{number}") for number in range(6)]
        made = [Pipeline(name=f"pipeline-{number:03}") for number in range(60)]
        self.pipelines = Pipeline.objects.bulk_create(made)
        Run.objects.bulk_create([self._run(number) for number in range(RUNS)], batch_size=500)
        self.runs = list(Run.objects.order_by("-pk")[:3])
        self.of_the_day = Run.objects.get(scheduled_at=datetime(2026, 3, 4, 12, tzinfo=UTC))
        values = {"position": 0, "task": 1, "task_name": "t", "kind": "shell", "state": "succeeded"}
        uuids = Run.objects.values_list("uuid", flat=True)
        StepRun.objects.bulk_create([StepRun(run_id=one, index=0, **values) for one in uuids], batch_size=500)
        pieces = [Output(run=one, index=0, number=0, offset=0, data=b"x") for one in uuids]
        Output.objects.bulk_create(pieces, batch_size=500)
        with connection.cursor() as cursor:
            for table in HISTORY:
                cursor.execute(f"ANALYZE {'TABLE ' if connection.vendor == 'mysql' else ''}{table}")
                cursor.fetchall()

    def _run(self, number: int) -> Run:
        pipeline, node = self.pipelines[number % 60], self.nodes[number % 6]
        at = NOON + timedelta(minutes=number)
        return Run(
            uuid=UUID(fire_run_id(str(pipeline.pk), at, str(node.pk), 1)), pipeline=pipeline.pk, scheduled_at=at,
            pipeline_name=pipeline.name, node=node.pk, node_name=node.name, state=STATES[number % 6],
            started_at=at, finished_at=at,
        )  # fmt: skip


@pytest.fixture
def history(transactional_db: None) -> History:
    return History()


@pytest.fixture
def browser(history: History) -> Client:
    client = Client()
    client.force_login(get_user_model().objects.create_superuser("admin"))
    return client


DAYS: dict[str, Callable[[History], str]] = {
    "": lambda h: "",
    ", its second page": lambda h: f"&before={h.of_the_day.pk}",
    ", back": lambda h: f"&after={h.of_the_day.pk}",
    " and state": lambda h: "&state__exact=failed",
    " and state, its second page": lambda h: f"&state__exact=failed&before={h.of_the_day.pk}",
    " and a state that is rare": lambda h: "&state__exact=lost",
    " and pipeline": lambda h: f"&pipeline={h.pipelines[3].pk}",
    " and pipeline and state": lambda h: f"&pipeline={h.pipelines[3].pk}&state__exact=failed",
    " and node": lambda h: f"&node={h.nodes[3].pk}",
}

PAGES: dict[str, Callable[[History], str]] = {
    "dashboard": lambda h: "/admin/",
    "list": lambda h: "/admin/logs/run/",
    "its second page": lambda h: f"/admin/logs/run/?before={h.runs[2].pk}",
    "back to the first": lambda h: f"/admin/logs/run/?after={h.runs[2].pk - 200}",
    "by state": lambda h: "/admin/logs/run/?state__exact=failed",
    "by a state that is rare": lambda h: "/admin/logs/run/?state__exact=lost",
    "by pipeline": lambda h: f"/admin/logs/run/?pipeline={h.pipelines[3].pk}",
    "by pipeline and state": lambda h: f"/admin/logs/run/?pipeline={h.pipelines[3].pk}&state__exact=failed",
    "by node": lambda h: f"/admin/logs/run/?node={h.nodes[3].pk}",
    "by node, an old page": lambda h: f"/admin/logs/run/?node={h.nodes[3].pk}&before={h.runs[0].pk - 3000}",
    **{
        f"by day{name}": lambda h, given=given: f"/admin/logs/run/?day=2026-03-04{given(h)}"
        for name, given in DAYS.items()
    },
    "search for an id": lambda h: f"/admin/logs/run/?q={h.runs[0].uuid}",
    "search for a pipeline's id": lambda h: f"/admin/logs/run/?q={h.pipelines[3].pk}",
    "search for a name": lambda h: "/admin/logs/run/?q=pipeline-00",
    "search for nothing": lambda h: "/admin/logs/run/?q=no+such+name",
    "detail": lambda h: f"/admin/logs/run/{h.runs[0].pk}/change/",
    "poll": lambda h: f"/admin/logs/run/{h.runs[0].uuid}/poll/",
    "pipelines": lambda h: "/admin/pipelines/pipeline/",
    "why": lambda h: (
        f"/admin/pipelines/pipeline/{h.pipelines[3].pk}/explain/?at=2026-03-02T12:03:00Z&node={h.nodes[3].pk}"
    ),
    "API list": lambda h: "/api/v1/runs/",
    "API by pipeline and state": lambda h: f"/api/v1/runs/?pipeline={h.pipelines[3].pk}&state=failed",
    "API by node": lambda h: f"/api/v1/runs/?node={h.nodes[3].pk}",
    "API detail": lambda h: f"/api/v1/runs/{h.runs[0].uuid}/",
}


def test_neither_do_the_metrics(history: History) -> None:
    """A thread of their own asks, with another connection: so they are asked here as that thread does."""
    with CaptureQueriesContext(connection) as captured:
        assert list(metrics._runs())
    asked = [query["sql"] for query in captured]
    assert asked
    assert [problem for sql in asked for problem in unbounded(sql)] == []


def test_no_page_reads_the_whole_history(history: History, browser: Client) -> None:
    found = {}
    for page, address in PAGES.items():
        with CaptureQueriesContext(connection) as captured:
            assert browser.get(address(history)).status_code == 200, page
        mine = [query["sql"] for query in captured if re.search(r"\b(FROM|JOIN) .?logs_", query["sql"])]
        assert mine or page == "search for nothing", f"{page} does not ask the history"
        found[page] = [(problem, sql[:2000]) for sql in mine for problem in unbounded(sql)]
    assert {page: problems for page, problems in found.items() if problems} == {}


def unbounded(sql: str) -> list[str]:
    """A scan without a bound, a sort, a count of everything."""
    is_first_of_all = "WHERE" not in sql and re.search(r"LIMIT \d+", sql) is not None
    return [
        f"{problem} of {table}"
        for table, problem in problems(sql)
        if table in HISTORY and not (problem == "scan" and is_first_of_all)
    ]


def problems(sql: str) -> list[tuple[str, str]]:
    """(table, what is wrong with its part of the plan)."""
    with connection.cursor() as cursor:
        if connection.vendor == "sqlite":
            cursor.execute(f"EXPLAIN QUERY PLAN {sql}")
            return _of_sqlite([str(row[3]) for row in cursor.fetchall()])
        cursor.execute(f"EXPLAIN FORMAT=JSON {sql}")
        return list(_of_mariadb(json.loads(cursor.fetchone()[0]), ""))


def _of_sqlite(lines: list[str]) -> list[tuple[str, str]]:
    found = [(line.split()[1], "scan") for line in lines if line.startswith("SCAN ") and " USING " not in line]
    tables = [line.split()[1] for line in lines if line.startswith(("SCAN ", "SEARCH "))]
    sorts = [table for table in tables if any("TEMP B-TREE FOR ORDER BY" in line for line in lines)]
    few = rf"SEARCH ({'|'.join(HISTORY)}) .*\((uuid|rowid|run|run_id)="
    named = [match[1] for line in lines if (match := re.search(few, line))]
    return found + [(table, "sort") for table in sorts if table not in named]


def _of_mariadb(node: Any, above: str) -> Any:
    if isinstance(node, list):
        for each in node:
            yield from _of_mariadb(each, above)
    elif isinstance(node, dict):
        sorting = "filesort" if "filesort" in node else above
        if "table_name" in node:
            if node.get("access_type") in ("ALL", "index"):
                yield node["table_name"], "scan"
            if sorting and float(node.get("rows", 0)) > 1000:
                yield node["table_name"], "sort"
        for each in node.values():
            yield from _of_mariadb(each, sorting)


def test_the_watch_over_plans_sees(history: History) -> None:
    """A text compared, a sort, a count."""
    for sql in (
        "SELECT id FROM logs_run WHERE pipeline_name LIKE '%x%' LIMIT 5",
        "SELECT id FROM logs_run WHERE reason = 'x' ORDER BY id DESC",
        "SELECT id, reason FROM logs_run ORDER BY pipeline_name LIMIT 5",
        "SELECT COUNT(reason) FROM logs_run",
    ):
        assert unbounded(sql), sql


def test_a_search_finds_by_name_and_by_id(history: History, browser: Client) -> None:
    def found(text: str) -> list[str]:
        return [run.pipeline_name for run in browser.get(f"/admin/logs/run/?q={text}").context["cl"].result_list]

    assert set(found("pipeline-007")) == {"pipeline-007"}
    assert set(found("PIPELINE-00")) == {f"pipeline-00{number}" for number in range(10)}
    assert found(str(history.runs[0].uuid)) == [history.runs[0].pipeline_name]
    assert len(set(found("node-3"))) == 10
    assert found("nobody") == []
    assert found(str(uuid.uuid4())) == []
