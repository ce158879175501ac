"""What the console itself writes into the history: runs asked for by hand, and the end of those nobody took."""

from datetime import datetime
from uuid import UUID

from logs.models import Run

NOT_TAKEN = "the node did not take the command before it expired; is its worker running and connected to etcd?"


def announce_manual_run(
    *,
    run: UUID,
    pipeline: UUID,
    pipeline_name: str,
    node: UUID,
    node_name: str,
    issued_at: datetime,
    expires_at: datetime,
    generation: int,
    reason: str = "",
) -> None:
    """A run that was asked for and not begun yet: running without a start, until the worker speaks of it."""
    Run.objects.create(
        uuid=run,
        pipeline=pipeline,
        pipeline_name=pipeline_name[:150],
        node=node,
        node_name=node_name[:150],
        trigger=Run.Trigger.MANUAL,
        state=Run.State.RUNNING,
        reason=(reason or f"sent to {node_name}, not begun yet")[:500],
        scheduled_at=issued_at,
        generation=generation,
        provisional=True,
        expires_at=expires_at,
    )


def withdraw_manual_run(run: UUID) -> None:
    """The command could not be sent after all."""
    Run.objects.filter(uuid=run, provisional=True).delete()


def close_untaken(now: datetime) -> int:
    """Ends provisional runs whose command has expired; how many there were."""
    return Run.objects.filter(provisional=True, state=Run.State.RUNNING, expires_at__lt=now).update(
        state=Run.State.MISSED, reason=NOT_TAKEN, finished_at=now
    )
