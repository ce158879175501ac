"""Writes down the orders to workers: runs by hand, trials of tasks, kills."""

from collections.abc import Sequence
from typing import Any
from uuid import UUID

from django.dispatch import receiver

from audit.journal import part, write
from audit.models import Entry
from logs.models import Run
from pipelines.commands import kill_ordered, run_ordered, trial_ordered
from pipelines.models import Pipeline
from tasks.models import Task
from workers.models import Node


@receiver(run_ordered)
def record_run(
    pipeline: Pipeline, nodes: Sequence[Node], runs: Sequence[UUID], names: Sequence[str], **kw: Any
) -> None:
    """Of the environment that was given the names alone: it may hold secrets."""
    _record_order(Entry.What.RUN, pipeline, nodes, runs, names)


@receiver(trial_ordered)
def record_trial(task: Task, node: Node, run: UUID, **kwargs: Any) -> None:
    """On one node."""
    _record_order(Entry.What.TRIED, task, [node], [run], ())


@receiver(kill_ordered)
def record_kill(run: Run, **kwargs: Any) -> None:
    """The run and where it was going."""
    told = {"node_name": [None, run.node_name], "scheduled_at": [None, run.scheduled_at.isoformat()]}
    write(Run, run.uuid, run.pipeline_name, Entry.What.KILLED, [part(Run, told, key=run.uuid, what=Entry.What.ADDED)])


def _record_order(
    what: str, one: Pipeline | Task, nodes: Sequence[Node], runs: Sequence[UUID], names: Sequence[str]
) -> None:
    told = {"nodes": [None, sorted(map(str, nodes))], "runs": [None, sorted(map(str, runs))]}
    if names:
        told["environment_names"] = [None, sorted(names)]
    write(type(one), one.pk, str(one), what, [part(type(one), told, key=one.pk, what=Entry.What.ADDED)])
