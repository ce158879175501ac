"""The shared runs that are going on this node, and their right to go on."""

import logging
from collections.abc import Callable
from dataclasses import dataclass

from coordination.records import RunRecord
from workers.engine.claims_actions import Start
from workers.engine.context import RunSpec
from workers.engine.dispatch import Dispatcher
from workers.engine.fence import OVER, Fence
from workers.engine.guard import Guard

log = logging.getLogger(__name__)

EARLY = 1.0
"""Seconds before the deadline at which a run is asked to end; at the deadline the guard kills it."""


@dataclass(slots=True, eq=False)
class _Going:
    pipeline: str
    session: str
    fence: Fence
    outlived: bool = False


class SharedRuns:
    """Starts claimed runs, moves their deadlines on, ends those whose deadline has come.

    ``on_ended(pipeline, record, outlived)``: a run has ended; ``outlived``: because its right to run was over.
    """

    def __init__(
        self,
        dispatcher: Dispatcher,
        guard: Guard,
        boottime: Callable[[], float],
        on_ended: Callable[[str, RunRecord, bool], None],
    ) -> None:
        self._dispatcher = dispatcher
        self._guard = guard
        self._boottime = boottime
        self._on_ended = on_ended
        self._going: dict[str, _Going] = {}

    def start(self, order: Start) -> bool:
        """Begins a claimed run. False: not while the worker stops."""
        fence = Fence(order.fence, order.deadline)
        spec = RunSpec(
            run=order.run,
            trigger=order.trigger,
            scheduled_at=order.scheduled_at,
            attempt=order.attempt,
            fence=fence,
        )
        self._guard.register(order.run, order.deadline)
        self._going[order.run] = _Going(order.document.pipeline, order.session, fence)
        if self._dispatcher.start(order.document, spec):
            return True
        self._guard.release(order.run)
        del self._going[order.run]
        return False

    async def kill(self, run: str, reason: str) -> None:
        """It is no longer ours."""
        await self._dispatcher.kill(run, reason)

    def move(self, run: str, session: str, deadline: float) -> None:
        """The run belongs to another session now."""
        if (going := self._going.get(run)) is not None:
            going.session = session
            self._extend(run, going, deadline)

    def renewed(self, session: str, deadline: float) -> None:
        """The runs of this session may go on until then."""
        for run, going in self._going.items():
            if going.session == session:
                self._extend(run, going, deadline)

    async def end_outlived(self) -> None:
        """Asks the runs to end whose deadline is near."""
        now = self._boottime()
        for run, going in list(self._going.items()):
            if not going.outlived and going.fence.is_over(now, EARLY):
                going.outlived = True
                about = {"run": run, "pipeline_id": going.pipeline}
                log.warning("killing it: %s", OVER, extra=about)
                await self._dispatcher.kill(run, OVER)

    def ended(self, record: RunRecord) -> None:
        """A run of this node, shared or not, has ended, and its record is durable."""
        going = self._going.pop(record.run, None)
        if going is None:
            return
        self._guard.release(record.run)
        # What succeeded has succeeded, whatever happened to its right meanwhile.
        over = going.outlived or going.fence.is_over(self._boottime())
        self._on_ended(going.pipeline, record, over and record.state != "succeeded")

    def _extend(self, run: str, going: _Going, deadline: float) -> None:
        # At its deadline the guard has ended it: a right that is over does not come back.
        if not going.outlived and not going.fence.is_over(self._boottime()):
            going.fence.deadline = deadline
            self._guard.extend(run, deadline)
