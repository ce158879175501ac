"""Fills an installation with made-up definitions and a day of runs, for pictures. Run as a module, with its
environment: it writes into its database, for no worker can have run yesterday."""

import random
import uuid
from datetime import timedelta

import django

django.setup()

from django.utils import timezone  # noqa: E402

from logs import rollups  # noqa: E402
from logs.models import Run  # noqa: E402
from pipelines.models import Binding, Pipeline, Step  # noqa: E402
from tasks.models import Task  # noqa: E402
from workers.models import Node, OnlineSpan  # noqa: E402

PIPELINES = (
    ("invoices-nightly", "15 2 * * *", "Moves the day's invoices to the warehouse", 0.02),
    ("crm-export", "*/5 * * * *", "", 0.2),
    ("sessions-cleanup", "0 * * * *", "Keeps the session store small", 0.0),
    ("orders-etl", "15 */4 * * *", "Extract, load, transform", 0.35),
    ("catalog-sync", "*/2 * * * *", "", 0.03),
    ("payments-report", "30 8 * * 1-5", "Mails the report to the finance team", 0.0),
    ("backup-home", "0 3 * * 0", "", 0.05),
    ("certificates-renew", "H 4 1 * *", "Renews what expires within a month", 0.0),
    ("search-reindex", "*/10 * * * *", "", 0.08),
)
RUNS = 140
"""Of each pipeline, ten minutes apart."""

REASONS = {
    "failed": 'Step 2 "load" failed: It ended with exit code 2.',
    "timed_out": "The run took longer than its limit of 30 s.",
    "skipped": "the run before it is still going",
    "missed": "the worker was not running",
}


def main() -> None:
    """Everything."""
    chance = random.Random(7)
    now = timezone.now()
    nodes = list(Node.objects.filter(mode=Node.Mode.WORKER))
    for number, name in enumerate(("worker-bj-1", "worker-fra-1", "worker-sh-2")):
        fields = {"online": number != 1, "capacity": 256, "running": (30, 0, 120)[number], "version": "1.0"}
        fields |= {"host": f"10.0.0.{number + 4}", "last_seen": now, "enrolled_at": now, "token_digest": str(number)}
        nodes.append(Node.objects.create(name=name, **fields))
    for node in nodes:
        for day in range(6, 0, -1):
            begin = now - timedelta(days=day, hours=chance.uniform(0, 3))
            OnlineSpan.objects.create(node=node, begins_at=begin, ends_at=begin + timedelta(hours=22.9))
    task = Task.objects.create(name="load", kind="shell", content="/opt/jobs/load.sh")
    runs = []
    for name, schedule, description, wrong in PIPELINES:
        pipeline = Pipeline.objects.create(name=name, schedule=schedule, description=description, enabled=True)
        Step.objects.create(pipeline=pipeline, task=task, position=1)
        Binding.objects.bulk_create(Binding(pipeline=pipeline, node=node) for node in nodes[1:])
        runs += [_run(chance, pipeline, wrong, nodes, now - timedelta(minutes=10 * (RUNS - k))) for k in range(RUNS)]
    runs.sort(key=lambda run: run.scheduled_at)
    Run.objects.bulk_create(runs)
    rollups.move([], [rollups.counted(run) for run in runs])


def _run(chance: random.Random, pipeline: Pipeline, wrong: float, nodes: list[Node], at: object) -> Run:
    weights = [1 - wrong, wrong * 0.6, wrong * 0.2, wrong * 0.1, wrong * 0.1]
    [state] = chance.choices(["succeeded", "failed", "timed_out", "skipped", "missed"], weights)
    node = chance.choice(nodes)
    run = Run(uuid=uuid.uuid4(), pipeline=pipeline.pk, pipeline_name=pipeline.name, node=node.pk, node_name=node.name)
    run.state, run.scheduled_at, run.reason = state, at, REASONS.get(state, "")  # type: ignore[assignment]
    if state not in ("skipped", "missed"):
        run.started_at = run.scheduled_at + timedelta(milliseconds=chance.randint(1, 9))
        run.finished_at = run.started_at + timedelta(seconds=chance.lognormvariate(1, 0.6))
    return run


if __name__ == "__main__":
    main()
