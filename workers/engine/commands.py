"""Follower of ``/ects/commands/<node>/``: run this once, end that run. Each command is taken once, by its id."""

import logging
from collections.abc import Callable, Sequence

from coordination.crypto import Refused
from coordination.documents import RunCommand
from coordination.gateway import Event, KeyValue
from coordination.keys import Keys
from coordination.records import RefusedRecord, RunRecord
from workers.engine.acceptance import Acceptance
from workers.engine.clock import Clock
from workers.engine.dispatch import Dispatcher
from workers.engine.execution import RunSpec
from workers.engine.journal import Journal
from workers.engine.plan import DRAINING

log = logging.getLogger(__name__)


class Commands:
    """Takes what the console sends to this node."""

    def __init__(
        self,
        *,
        keys: Keys,
        acceptance: Acceptance,
        journal: Journal,
        dispatcher: Dispatcher,
        clock: Clock,
        is_draining: Callable[[], bool],
    ) -> None:
        self._keys = keys
        self._acceptance = acceptance
        self._journal = journal
        self._dispatcher = dispatcher
        self._clock = clock
        self._is_draining = is_draining
        self._taken: set[str] = set()

    async def snapshot(self, items: Sequence[KeyValue]) -> None:
        """Commands given while we were away; what has been taken before is known by its id."""
        self._taken.intersection_update(item.key for item in items)
        for item in items:
            await self._take(item)

    async def events(self, events: Sequence[Event]) -> None:
        """New commands; a deletion is only the end of a command's lease."""
        for event in events:
            if event.kind == "put":
                await self._take(event.item)
            else:
                self._taken.discard(event.item.key)

    async def _take(self, item: KeyValue) -> None:
        if item.key in self._taken:
            return
        self._taken.add(item.key)
        try:
            _, command_id = self._keys.parse_command(item.key)
            command = self._acceptance.command(item.value, command_id, self._clock.now())
        except (Refused, ValueError) as error:
            log.warning("refused %s: %s", item.key, error)
            await self._journal.state(RefusedRecord(key=item.key, reason=str(error), at=self._clock.now()))
            return
        # Journaled before it is acted on: a restart between the two must not run it again.
        if not await self._journal.take_command(command.id, command.expires_at):
            return
        if isinstance(command, RunCommand):
            await self._start(command)
        else:
            await self._dispatcher.kill(command.run, f"killed by {command.requested_by or 'the console'}")

    async def _start(self, command: RunCommand) -> None:
        if self._is_draining():
            await self._journal.state(_skipped(command))
            return
        spec = RunSpec(
            run=command.run,
            trigger="manual",
            scheduled_at=command.issued_at,
            environment=command.environment,
            reason=f"run by {command.requested_by}" if command.requested_by else "",
        )
        self._dispatcher.start(command.document, spec)


def _skipped(command: RunCommand) -> RunRecord:
    document = command.document
    return RunRecord(
        run=command.run,
        pipeline=document.pipeline,
        pipeline_name=document.name,
        state="skipped",
        trigger="manual",
        scheduled_at=command.issued_at,
        generation=document.generation,
        reason=DRAINING,
    )
