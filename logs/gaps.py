"""Stretches of fires that no worker has answered for, one row each, written by the console until a worker speaks."""

from collections.abc import Collection, Iterator
from datetime import datetime
from uuid import UUID

from django.db.models import QuerySet

from coordination.identity import gap_run_id
from logs import rollups
from logs.collisions import transact
from logs.models import Run

BY_SCHEDULE = (Run.Trigger.SCHEDULE, Run.Trigger.CATCH_UP)


def open_gaps() -> QuerySet[Run]:
    """All of them; by the index of what is provisional, which is little."""
    return Run.objects.filter(
        provisional=True, expires_at=None, shared=False, state=Run.State.MISSED, trigger=Run.Trigger.SCHEDULE
    )


def newest(pipeline: UUID, node: UUID, look: int = 5) -> Iterator[Run]:
    """The last rows that this node's schedule has left, newest first."""
    rows = Run.objects.filter(pipeline=pipeline, node=node, trigger__in=BY_SCHEDULE)
    return rows.order_by("-id")[:look].iterator()


def first_answer(gap: Run) -> Run | None:
    """What the worker itself has said of this pipeline since the gap was written, the earliest of it."""
    later = Run.objects.filter(
        pipeline=gap.pipeline, node=gap.node, trigger__in=BY_SCHEDULE, provisional=False, id__gt=gap.pk
    )
    return later.order_by("id").first()


def begin(
    pipeline: UUID, pipeline_name: str, node: UUID, node_name: str, instants: Collection[datetime], reason: str
) -> None:
    """A new gap of these instants, in their order, which are not empty."""
    first, *_rest = instants
    run = Run(
        uuid=UUID(gap_run_id(str(pipeline), first, str(node), "unanswered")),
        pipeline=pipeline,
        pipeline_name=pipeline_name[:150],
        node=node,
        node_name=node_name[:150],
        state=Run.State.MISSED,
        reason=reason[:500],
        scheduled_at=first,
        count=len(instants),
        until=[*instants][-1] if len(instants) > 1 else None,
        provisional=True,
    )

    def write() -> None:
        if not Run.objects.filter(uuid=run.uuid).exists():
            run.save(force_insert=True)
            rollups.move([], [rollups.counted(run)])

    transact(write)


def resize(gap: Run, count: int, until: datetime, reason: str) -> None:
    """The gap has so many fires now, up to ``until``; none: it is no gap."""

    def write() -> None:
        held = open_gaps().select_for_update().filter(pk=gap.pk).first()
        if held is None:
            return
        before = rollups.counted(held)
        if count == 0:
            held.delete()
            rollups.move([before], [])
            return
        held.count, held.until, held.reason = count, until if count > 1 else None, reason[:500]
        held.save(update_fields=["count", "until", "reason"])
        rollups.move([before], [rollups.counted(held)])

    transact(write)
