"""What is new of a run since a cursor: for those who follow it while it goes.

The cursor is the primary key of the last piece of output that was read: pieces of a run come in one after the other,
from one node, so that a higher key is a later piece. The first ones of a step may come in before the step itself, whose
record a worker sends as it stands by then: nobody can show them yet, and the cursor stays before them.
"""

from base64 import b64encode
from collections.abc import Callable, Iterator
from itertools import takewhile
from typing import Any
from uuid import UUID

from django.utils.timezone import now

from logs.arrival import on_the_way
from logs.models import Output, Run, StepRun

PIECES = 64
"""The most pieces in one answer: some 4 MB."""


def news(run: UUID, cursor: int) -> dict[str, Any] | None:
    """What a follower is told; None when there is no such run.

    ``pieces``: step, offset in what the step wrote, and the bytes in base64, for a character may be cut between two.
    ``more``: there is more to be read at once. ``ended``: nothing will follow, except what is ``more``. The end of a
    run may come in before the last of its output, which does follow.
    """
    row = Run.objects.filter(uuid=run).first()
    if row is None:
        return None
    # Before the pieces, which may come in meanwhile.
    steps = list(row.steps.order_by("index"))
    known = {step.index for step in steps}
    found = Output.objects.filter(run=run, pk__gt=cursor).order_by("pk")[:PIECES]
    pieces = list(takewhile(lambda piece: piece[1] in known, found.values_list("pk", "index", "offset", "data")))
    cursor = pieces[-1][0] if pieces else cursor
    return {
        "cursor": cursor,
        "state": row.state,
        "label": row.get_state_display(),
        "reason": row.reason,
        "started_at": row.started_at,
        "finished_at": row.finished_at,
        "steps": [_told(step) for step in steps],
        "pieces": [[index, offset, b64encode(data).decode()] for _, index, offset, data in pieces],
        "more": len(pieces) == PIECES,
        "ended": row.state != Run.State.RUNNING and not on_the_way(row, steps, now(), cursor),
    }


def at_end(run: UUID) -> int:
    """The cursor behind all that can be shown. What comes in meanwhile is behind it, whatever comes in first."""
    pieces = Output.objects.filter(run=run)
    last = pieces.order_by("-pk").values_list("pk", flat=True).first() or 0
    known = list(StepRun.objects.filter(run__uuid=run).values_list("index", flat=True))
    early = pieces.filter(pk__lte=last).exclude(index__in=known).order_by("pk").values_list("pk", flat=True).first()
    return last if early is None else early - 1


def changes(
    run: UUID, cursor: int, look: Callable[[UUID, int], dict[str, Any] | None] = news
) -> Iterator[dict[str, Any] | None]:
    """Each time it is asked: what is new, or None when nothing is. It ends when nothing will follow."""
    before: dict[str, Any] = {}
    while (told := look(run, cursor)) is not None:
        cursor = told["cursor"]
        state = {name: told[name] for name in ("state", "reason", "steps")}
        yield told if told["pieces"] or state != before else None
        before = state
        if told["ended"] and not told["more"]:
            return


_STEP = ("index", "state", "reason", "attempts", "exit_code", "http_status", "started_at", "finished_at")


def _told(step: StepRun) -> dict[str, Any]:
    return {**{name: getattr(step, name) for name in _STEP}, "label": step.get_state_display()}
