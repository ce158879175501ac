"""Fills an installation with made-up definitions and the history that they would have, for pictures. Run as a module,
with its environment: it writes into its database, for no worker can have run yesterday."""

import random
import uuid
from datetime import datetime, timedelta

import django

django.setup()

from django.utils import timezone  # noqa: E402

from coordination.identity import fire_run_id  # noqa: E402
from logs import rollups  # noqa: E402
from logs.models import Run  # noqa: E402
from pipelines.models import Binding, Calendar, CalendarEntry, Pipeline, Step  # noqa: E402
from pipelines.schedules import schedule_of  # noqa: E402
from tasks.models import Task  # noqa: E402
from workers.models import Node, OnlineSpan  # noqa: E402

PIPELINES = (
    ("invoices-nightly", "15 2 * * *", "Moves the day's invoices to the warehouse", 0.06),
    ("crm-export", "*/5 * * * *", "Contacts that changed, for the sales team", 0.02),
    ("sessions-cleanup", "0 * * * *", "Keeps the session store small", 0.0),
    ("orders-etl", "*/20 * * * *", "Extract, load, transform", 0.3),
    ("catalog-sync", "*/2 * * * *", "", 0.004),
    ("payments-report", "30 8 * * 1-5", "Mails the report to the finance team", 0.0),
    ("backup-home", "0 3 * * 0", "", 0.1),
    ("certificates-renew", "H 4 * * *", "Renews what expires within a month", 0.0),
    ("search-reindex", "*/10 * * * *", "Full text of articles and comments", 0.05),
    ("digest-mails", "0 7,12,17 * * *", "What subscribers have not read yet", 0.0),
    ("metrics-rollup", "*/15 * * * *", "", 0.01),
)
SHOWN = 30
"""Runs that each of them has at least."""

REASONS = {
    "failed": 'Step 1 "load" failed: It ended with exit code 2.',
    "timed_out": "The run took longer than its limit of 30 s.",
    "skipped": "the run before it is still going",
    "missed": "the worker was not running",
}


def main() -> None:
    """Everything."""
    chance = random.Random(7)
    now = timezone.now()
    Pipeline.objects.filter(name="example").delete()
    Task.objects.filter(name__startswith="example: ").delete()
    nodes = list(Node.objects.filter(mode=Node.Mode.WORKER).order_by("name"))
    _online(chance, nodes, now)
    _calendars()
    task = Task.objects.create(name="load", kind="shell", content="sleep 1; echo 1,204 rows loaded")
    runs: list[Run] = []
    for number, (name, schedule, description, wrong) in enumerate(PIPELINES):
        fields = {"schedule": schedule, "description": description, "timezone": "Europe/Paris", "enabled": True}
        pipeline = Pipeline.objects.create(name=name, **fields)
        Step.objects.create(pipeline=pipeline, task=task, position=1)
        bound = [nodes[number % len(nodes)], nodes[(number + 1) % len(nodes)]][: 1 + number % 2]
        Binding.objects.bulk_create(Binding(pipeline=pipeline, node=node) for node in bound)
        usual = chance.lognormvariate(1, 0.7)
        instants = _instants(pipeline, now)
        _made(pipeline, now - timedelta(days=400))
        runs += [_run(chance, pipeline, wrong, usual, node, at) for at in instants for node in bound]
    runs.sort(key=lambda run: run.scheduled_at)
    Run.objects.bulk_create(runs)
    rollups.move([], [rollups.counted(run) for run in runs])


def _made(pipeline: Pipeline, at: datetime) -> None:
    """Long enough ago for its runs to be explained by it."""
    Pipeline.objects.filter(pk=pipeline.pk).update(created_at=at)
    pipeline.history.update(history_date=at)


def _online(chance: random.Random, nodes: list[Node], now: datetime) -> None:
    """A week, with a gap or two."""
    for node in nodes:
        begin = now - timedelta(days=8)
        for back in sorted(chance.sample(range(10, 160), chance.randint(0, 2)), reverse=True):
            end = now - timedelta(hours=back)
            OnlineSpan.objects.create(node=node, begins_at=begin, ends_at=end)
            begin = end + timedelta(minutes=chance.choice((12, 95, 190)))
        OnlineSpan.objects.create(node=node, begins_at=begin, ends_at=now)


def _calendars() -> None:
    holidays = Calendar.objects.create(
        name="public holidays", description="Of France", timezone="Europe/Paris", policy="skip"
    )
    for day, name in (("12-25", "Christmas"), ("01-01", "New Year's Day"), ("05-01", "Labour Day")):
        CalendarEntry.objects.create(calendar=holidays, kind="date", start=day, name=name)
    window = Calendar.objects.create(
        name="maintenance window", description="The database is down", timezone="Europe/Paris", policy="end"
    )
    CalendarEntry.objects.create(calendar=window, kind="weekly", start="02:00", end="04:00", days=["sat", "sun"])


def _instants(pipeline: Pipeline, now: datetime) -> list[datetime]:
    """Those of the last day, and as many before it as the list shows."""
    schedule = schedule_of(pipeline)
    days = 1
    while len(found := schedule.between(now - timedelta(days=days), now, 2000)) < SHOWN:
        days *= 3
    of_today = sum(at > now - timedelta(days=1) for at in found)
    return found[-max(SHOWN, of_today) :]


def _run(chance: random.Random, pipeline: Pipeline, wrong: float, usual: float, node: Node, at: datetime) -> Run:
    weights = [1 - wrong, wrong * 0.7, wrong * 0.2, wrong * 0.05, wrong * 0.05]
    [state] = chance.choices(["succeeded", "failed", "timed_out", "skipped", "missed"], weights)
    name = uuid.UUID(fire_run_id(str(pipeline.pk), at, str(node.pk)))
    run = Run(uuid=name, pipeline=pipeline.pk, pipeline_name=pipeline.name, node=node.pk, node_name=node.name)
    run.state, run.scheduled_at, run.reason = state, at, REASONS.get(state, "")
    if state not in ("skipped", "missed"):
        run.started_at = run.scheduled_at + timedelta(milliseconds=chance.randint(1, 9))
        run.finished_at = run.started_at + timedelta(seconds=usual * chance.lognormvariate(0, 0.25))
    return run


if __name__ == "__main__":
    main()
