"""What a worker owes to its earlier life: kill what survived of it, and end what it left open."""

import logging
from collections.abc import Awaitable, Callable

from msgspec import structs

from coordination.records import Record, RunRecord, StepRecord
from workers.engine.clock import Clock
from workers.engine.journal import Journal

log = logging.getLogger(__name__)

LOST = "the worker stopped while it was running"
NEVER_BEGUN = "the worker stopped before it could begin"

KillSurvivors = Callable[[str], Awaitable[int]]
"""Kills every process of a run by its id and returns how many there were, when none is left."""


async def recover(journal: Journal, kill_survivors: KillSurvivors, clock: Clock) -> int:
    """Closes the runs that an earlier life of this worker left open; how many there were.

    Their processes are dead before the record says so.
    """
    left = await journal.open_runs()
    for run, steps in left:
        survivors = await kill_survivors(run.run)
        if survivors:
            log.warning("run %s of %s: killed %d surviving processes", run.run, run.pipeline_name, survivors)
        await journal.state(*_closed(run, steps, clock))
    if left:
        log.warning("%d runs of the worker's earlier life are closed", len(left))
    return len(left)


def _closed(run: RunRecord, steps: list[StepRecord], clock: Clock) -> list[Record]:
    now = clock.now()
    closed: list[Record] = [
        structs.replace(step, state="lost", reason=LOST, finished_at=now) for step in steps if step.state == "running"
    ]
    if run.started_at is None:
        return [*closed, structs.replace(run, state="missed", reason=NEVER_BEGUN, finished_at=now)]
    return [*closed, structs.replace(run, state="lost", reason=LOST, finished_at=now)]
