"""What a worker owes to its earlier life: kill what survived of it, and end what it left open."""

import logging
from collections.abc import Awaitable, Callable, Collection

from msgspec import structs

from coordination.records import Record, RunRecord, StepRecord
from workers.engine.clock import Clock
from workers.engine.journal import Journal

log = logging.getLogger(__name__)

LOST = "the worker stopped while it was running"
NEVER_BEGUN = "the worker stopped before it could begin"

KillSurvivors = Callable[[Collection[str]], Awaitable[int]]
"""Kills every process of these runs (by id) and returns how many there were, when none is left."""

TOGETHER = 200
"""Runs whose ends are written in one go."""


async def recover(journal: Journal, kill_survivors: KillSurvivors, clock: Clock) -> int:
    """Closes the runs that an earlier life of this worker left open; how many there were.

    Their processes are dead before the record says so.
    """
    left = await journal.open_runs()
    if not left:
        return 0
    survivors = await kill_survivors([run.run for run, _ in left])
    for start in range(0, len(left), TOGETHER):
        some = left[start : start + TOGETHER]
        await journal.state(*(record for run, steps in some for record in _closed(run, steps, clock)))
        for run, _ in some:
            about = {"run": run.run, "pipeline": run.pipeline_name, "pipeline_id": run.pipeline}
            log.info("%s was left open by the worker's earlier life, and is closed", run.pipeline_name, extra=about)
    log.warning("%d runs of the worker's earlier life are closed, %d processes killed", len(left), survivors)
    return len(left)


def _closed(run: RunRecord, steps: list[StepRecord], clock: Clock) -> list[Record]:
    now = clock.now()
    closed: list[Record] = [
        structs.replace(step, state="lost", reason=LOST, finished_at=now) for step in steps if step.state == "running"
    ]
    if run.started_at is None:
        return [*closed, structs.replace(run, state="missed", reason=NEVER_BEGUN, finished_at=now)]
    return [*closed, structs.replace(run, state="lost", reason=LOST, finished_at=now)]
