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

from logs.models import Output, Run, StepRun

PIECES = 64
"""The most pieces in one answer: some 4 MB."""


def news(run: UUID, cursor: int) -> dict[str, Any] | None:
    """What a follower is told; None when there is no such run.

    ``pieces``: step, offset in what the step wrote, and the bytes in base64, for a character may be cut between two.
    ``more``: there is more to be read at once. ``ended``: nothing will follow, except what is ``more``.
    """
    row = Run.objects.filter(uuid=run).first()
    if row is None:
        return None
    # Before the pieces: what an ended run wrote came in before its end.
    steps = list(row.steps.order_by("index").values(*_STEP))
    known = {step["index"] for step in steps}
    found = Output.objects.filter(run=run, pk__gt=cursor).order_by("pk")[:PIECES]
    pieces = list(takewhile(lambda piece: piece[1] in known, found.values_list("pk", "index", "offset", "data")))
    return {
        "cursor": pieces[-1][0] if pieces else cursor,
        "state": row.state,
        "label": row.get_state_display(),
        "reason": row.reason,
        "started_at": row.started_at,
        "finished_at": row.finished_at,
        "steps": [_with_label(step) for step in steps],
        "pieces": [[index, offset, b64encode(data).decode()] for _, index, offset, data in pieces],
        "more": len(pieces) == PIECES,
        "ended": row.state != Run.State.RUNNING,
    }


def at_end(run: UUID) -> int:
    """The cursor behind all that can be shown."""
    known = list(StepRun.objects.filter(run__uuid=run).values_list("index", flat=True))
    early = Output.objects.filter(run=run).exclude(index__in=known).order_by("pk").values_list("pk", flat=True).first()
    if early is not None:
        return early - 1
    return Output.objects.filter(run=run).order_by("-pk").values_list("pk", flat=True).first() or 0


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
_LABELS = dict(StepRun.State.choices)


def _with_label(step: dict[str, Any]) -> dict[str, Any]:
    return {**step, "label": str(_LABELS[step["state"]])}
