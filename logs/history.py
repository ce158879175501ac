"""What the console itself writes into the history: runs asked for by hand, and the end of those nobody took."""

from collections.abc import Collection, Iterator, Sequence
from datetime import datetime
from functools import partial
from uuid import UUID

from django.db.models import QuerySet

from coordination.documents import RunCommand
from coordination.records import RunRecord
from logs import rollups
from logs.collisions import transact
from logs.models import Run, StepRun

NOT_TAKEN = "the node did not take the command before it expired; is its worker running and connected to etcd?"

CHUNK = 500
"""Runs asked for in one query."""


def announce_manual_run(order: RunCommand, *, node_name: str) -> None:
    """A run that was asked for and not begun yet: running without a start, until its worker speaks of it."""
    run = Run(
        uuid=UUID(order.run),
        pipeline=UUID(order.document.pipeline),
        pipeline_name=order.document.name[:150],
        node=UUID(order.node),
        node_name=node_name[:150],
        trigger=Run.Trigger.MANUAL,
        state=Run.State.RUNNING,
        reason=f"sent to {node_name}, not begun yet"[:500],
        scheduled_at=order.issued_at,
        generation=order.document.generation,
        provisional=True,
        expires_at=order.expires_at,
        requested_by=order.requested_by[:150],
    )

    def write() -> None:
        run.save(force_insert=True)
        rollups.move([], [rollups.counted(run)])

    transact(write)


def withdraw(runs: Collection[UUID]) -> None:
    """Announced runs whose command could not be sent; those of which a worker has spoken stay."""
    announced = Run.objects.filter(uuid__in=runs, provisional=True)

    def delete() -> None:
        gone = list(announced.select_for_update())
        Run.objects.filter(pk__in=[run.pk for run in gone]).delete()
        rollups.move([rollups.counted(run) for run in gone], [])

    transact(delete)


def close_untaken(now: datetime) -> int:
    """Ends provisional runs whose command has expired; how many there were."""
    untaken = Run.objects.filter(provisional=True, expires_at__lt=now)
    due = list(untaken.filter(state=Run.State.RUNNING).values_list("uuid", flat=True))
    return sum(_close(untaken, chunk, Run.State.MISSED, NOT_TAKEN, now) for chunk in _chunks(due))


def _close(among: QuerySet[Run], uuids: Sequence[UUID], state: Run.State, reason: str, now: datetime) -> int:
    """Ends those of the runs that are still going; how many there were."""

    def end() -> int:
        going = list(among.select_for_update().filter(uuid__in=uuids, state=Run.State.RUNNING))
        before = [rollups.counted(run) for run in going]
        Run.objects.filter(pk__in=[run.pk for run in going]).update(
            state=state, reason=reason[:500], finished_at=now, provisional=True
        )
        rollups.move(before, [row._replace(state=state.value, finished_at=now) for row in before])
        return len(going)

    return transact(end)


def ended(runs: Collection[UUID]) -> set[UUID]:
    """Those of the runs whose end the ledger holds."""
    found: set[UUID] = set()
    for chunk in _chunks(list(runs)):
        rows = Run.objects.filter(uuid__in=chunk).exclude(state=Run.State.RUNNING)
        found.update(rows.values_list("uuid", flat=True))
    return found


def provide(record: RunRecord, node: UUID, node_name: str, now: datetime) -> None:
    """Writes what no worker has written of a shared fire; the word of the worker that ran it replaces it.

    A row that is there stays, unless it says that a lost run is still going. ``node`` is the node it was decided by,
    the nil uuid for nobody.
    """
    uuid = UUID(record.run)
    values = {
        "pipeline": UUID(record.pipeline),
        "pipeline_name": record.pipeline_name[:150],
        "node": node,
        "node_name": node_name[:150],
        "trigger": record.trigger,
        "state": record.state,
        "reason": record.reason[:500],
        "scheduled_at": record.scheduled_at,
        "finished_at": now,
        "attempt": record.attempt,
        "generation": record.generation,
        "count": record.count,
        "until": record.until,
        "shared": True,
        "provisional": True,
    }

    def write() -> bool:
        run, made = Run.objects.get_or_create(uuid=uuid, defaults=values)
        if made:
            rollups.move([], [rollups.counted(run)])
        return made

    if not transact(write) and record.state == "lost":
        close_lost([uuid], record.reason, now)


def close_lost(runs: Sequence[UUID], reason: str, now: datetime) -> None:
    """Runs that are said to be going and are not any more, nor their steps."""
    for chunk in _chunks(list(runs)):
        _close(Run.objects.all(), chunk, Run.State.LOST, reason, now)
        steps = StepRun.objects.filter(run__uuid__in=chunk, state=StepRun.State.RUNNING)
        transact(partial(steps.update, state=StepRun.State.LOST, reason=reason[:500], finished_at=now))


def _chunks(runs: list[UUID]) -> Iterator[list[UUID]]:
    return (runs[start : start + CHUNK] for start in range(0, len(runs), CHUNK))


def has_any() -> bool:
    """Whether anything has ever been recorded here."""
    return Run.objects.exists()
