"""What the console itself writes into the history: runs asked for by hand, and the end of those nobody took."""

from collections.abc import Collection, Iterator, Sequence
from datetime import datetime
from uuid import UUID

from django.db import transaction

from coordination.documents import RunCommand
from coordination.records import RunRecord
from logs.models import Run, StepRun

NOT_TAKEN = "the node did not take the command before it expired; is its worker running and connected to etcd?"

CHUNK = 500
"""Runs asked for in one query."""


def announce_manual_run(order: RunCommand, *, node_name: str) -> None:
    """A run that was asked for and not begun yet: running without a start, until its worker speaks of it."""
    Run.objects.create(
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
    )


def close_untaken(now: datetime) -> int:
    """Ends provisional runs whose command has expired; how many there were."""
    return Run.objects.filter(provisional=True, state=Run.State.RUNNING, expires_at__lt=now).update(
        state=Run.State.MISSED, reason=NOT_TAKEN, finished_at=now
    )


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
    with transaction.atomic():
        _, made = Run.objects.get_or_create(uuid=uuid, defaults=values)
        if not made and record.state == "lost":
            close_lost([uuid], record.reason, now)


def close_lost(runs: Sequence[UUID], reason: str, now: datetime) -> None:
    """Runs that are said to be going and are not any more, nor their steps."""
    going = Run.objects.filter(uuid__in=runs, state=Run.State.RUNNING)
    going.update(state=Run.State.LOST, reason=reason[:500], finished_at=now, provisional=True)
    steps = StepRun.objects.filter(run__uuid__in=runs, state=StepRun.State.RUNNING)
    steps.update(state=StepRun.State.LOST, reason=reason[:500], finished_at=now)


def _chunks(runs: list[UUID]) -> Iterator[list[UUID]]:
    return (runs[start : start + CHUNK] for start in range(0, len(runs), CHUNK))


def has_any() -> bool:
    """Whether anything has ever been recorded here."""
    return Run.objects.exists()
