"""What the console itself writes into the history: runs asked for by hand, and the end of those nobody took."""

from datetime import datetime
from uuid import UUID

from coordination.documents import RunCommand
from logs.models import Run

NOT_TAKEN = "the node did not take the command before it expired; is its worker running and connected to etcd?"


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


def has_any() -> bool:
    """Whether anything has ever been recorded here."""
    return Run.objects.exists()
