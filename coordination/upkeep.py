"""What the leading master does for a shared pipeline's record, pure: it closes what no worker can, and tidies up.

It writes with the same compare-and-set as the workers (``fires.write``), comparing its own leadership instead of a
session. Workers do all of this for themselves as long as one of them lives, but for the ledger rows of the dead.
"""

from collections.abc import Collection
from datetime import datetime, timedelta

from msgspec.structs import replace

from coordination import fires
from coordination.fires import Decision, Epoch, FireRecord
from coordination.identity import SHARED, fire_run_id, gap_run_id
from coordination.records import RunRecord

ABANDONED = "the node that ran it was lost, and no other node is there to take over"

AHEAD = timedelta(seconds=5)
"""A mark further in the future comes from a clock that nobody should have trusted."""


def tended(
    record: FireRecord,
    *,
    epoch: Epoch,
    generation: int,
    sessions: Collection[tuple[str, str]],
    bound_alive: bool,
    stored: Collection[tuple[datetime, int]],
    now: datetime,
) -> FireRecord:
    """The record as it should be, itself when there is nothing to do.

    ``epoch`` is the present one, and the record is of it. ``generation`` is that of the published documents (raise it
    only after all of them are put). ``sessions`` are the ``(node, session)`` whose keys exist, read after the record.
    ``bound_alive``: a bound node is present, so that orphans are its business. ``stored`` are the decisions
    ``(instant, attempt)`` that the ledger holds.
    """
    if generation > record.generation:
        record = fires.raise_generation(record, generation)
    if record.mark > now + AHEAD:
        record = fires.repair_mark(record, now)
    if not bound_alive and now >= epoch.settled_at:
        for run in record.runs:
            if (run.node, run.session) not in sessions:
                record = replace(fires.take_over(record, run.nonce, None, ABANDONED), inherited=None)
    return fires.trim(record, stored, now)


def ledger_row(pipeline: str, name: str, generation: int, entry: Decision) -> RunRecord:
    """The ledger's row for a decision; ``generation`` is that of the document it was made under."""
    run = fire_run_id(pipeline, entry.instant, SHARED, entry.attempt)
    if entry.count > 1:
        run = gap_run_id(pipeline, entry.instant, SHARED, entry.reason)
    return RunRecord(
        run=run,
        pipeline=pipeline,
        pipeline_name=name,
        state=entry.state,
        trigger="schedule" if entry.attempt == 1 else "rerun",
        scheduled_at=entry.instant,
        generation=generation,
        attempt=entry.attempt,
        reason=entry.reason,
        count=entry.count,
        until=entry.until,
        shared=True,
    )


def unwritten(record: FireRecord, now: datetime, patience: timedelta) -> list[Decision]:
    """The decisions that the master writes into the ledger itself, unless there is a row: nobody's, and those whose
    node has not delivered them for ``patience``."""
    return [
        entry
        for entry in record.recent
        if not entry.node or entry.state == "lost" or (entry.until or entry.instant) < now - patience
    ]
