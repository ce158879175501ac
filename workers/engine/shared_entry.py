"""One shared pipeline of a worker: its plan, its document, and what is yet to be carried out for it."""

import logging
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field

from msgspec import DecodeError, structs

from coordination import fires
from coordination.documents import PipelineDocument
from coordination.fires import FireRecord, Timing
from workers.engine.claims import SharedPlan
from workers.engine.claims_actions import Action
from workers.engine.plan import Fires

log = logging.getLogger(__name__)

TIMINGS = 3
"""Compiled timings kept for each pipeline: what the record expects, what holds, what will."""

MakeFires = Callable[[PipelineDocument], Fires]
"""Compiles a document's schedule."""


@dataclass(slots=True, eq=False)
class Entry:
    """``ticket``: of the last time that it asked to be woken; an older one means nothing."""

    plan: SharedPlan
    document: PipelineDocument
    todo: deque[Action] = field(default_factory=deque)
    is_carrying_out: bool = False
    is_leaving: bool = False
    ticket: int = 0
    timings: list[tuple[Timing, Fires]] = field(default_factory=list)

    def compiled(self, timing: Timing, make_fires: MakeFires) -> Fires:
        """The document's schedule with another timing, which is often one of the last few."""
        for known, made in self.timings:
            if known == timing:
                return made
        values = {name: value for name, value in structs.asdict(timing).items() if name != "generation"}
        made = make_fires(structs.replace(self.document, **values))
        self.timings = [(timing, made), *self.timings[: TIMINGS - 1]]
        return made


def remembered(pipeline: str, value: bytes | None) -> FireRecord | None:
    """The record that was kept of it; None for none, and for one that cannot be read."""
    try:
        return None if value is None else fires.decode(value)
    except DecodeError as error:
        log.error("what was remembered of pipeline %s cannot be read: %s", pipeline, error)
        return None
