"""Takes this node's documents and the shared settings from etcd into the plan, and keeps a copy on disk.

Bare absence of a key is no order to forget: only a signed tombstone is. So a wiped etcd stops nothing.
"""

import logging
from collections.abc import Awaitable, Callable, Sequence
from datetime import UTC, datetime

from coordination.crypto import Refused
from coordination.documents import PipelineDocument, Tombstone
from coordination.gateway import Event, KeyValue
from coordination.keys import Keys
from coordination.records import AppliedRecord, Record, RefusedRecord
from workers.engine.acceptance import Acceptance
from workers.engine.clock import Clock
from workers.engine.journal import Journal
from workers.engine.plan import Decision, Fires, Plan
from workers.engine.schedule import ScheduleError

log = logging.getLogger(__name__)

MakeFires = Callable[[PipelineDocument], Fires]
"""Compiles a document's schedule; raises ScheduleError."""

CarryOut = Callable[[Sequence[Decision]], Awaitable[None]]


class Definitions:
    """Follower of ``/ects/pipelines/<node>/``."""

    def __init__(
        self,
        *,
        keys: Keys,
        acceptance: Acceptance,
        journal: Journal,
        plan: Plan,
        make_fires: MakeFires,
        carry_out: CarryOut,
        clock: Clock,
        generations: dict[str, int],
    ) -> None:
        self._keys = keys
        self._acceptance = acceptance
        self._journal = journal
        self._plan = plan
        self._make_fires = make_fires
        self._carry_out = carry_out
        self._clock = clock
        self._generations = generations
        self._refused: dict[str, int] = {}

    async def load_cache(self) -> None:
        """What this node held when it last ran: it fires from this until etcd says otherwise."""
        for cached in await self._journal.documents():
            document = self._acceptance.cached(cached.envelope)
            if document is None:
                log.warning("the copy of pipeline %s is not valid any more; waiting for etcd", cached.pipeline)
                continue
            try:
                await self._plan_document(document)
            except (ScheduleError, ValueError) as error:
                log.warning("the copy of pipeline %s cannot be planned: %s", document.name, error)

    async def snapshot(self, items: Sequence[KeyValue]) -> None:
        """The whole prefix. What is missing in it stays: absence is unconfirmed."""
        for item in items:
            await self._take(item)

    async def events(self, events: Sequence[Event]) -> None:
        """Changes; deletions (a tombstone tidied up, or somebody's hand) change nothing here."""
        for event in events:
            if event.kind == "put":
                await self._take(event.item)

    async def _take(self, item: KeyValue) -> None:
        try:
            _, pipeline = self._keys.parse_pipeline(item.key)
            held = self._generations.get(pipeline, 0)
            document = self._acceptance.document(item.value, pipeline, held)
            if isinstance(document, Tombstone):
                await self._remove(document)
            elif document.generation > held or self._plan.document(pipeline) is None:
                await self._plan_document(document)
                await self._keep(document, item.value)
        except (Refused, ScheduleError, ValueError) as error:
            await self._refuse(item, str(error))

    async def _plan_document(self, document: PipelineDocument) -> None:
        now = self._clock.now()
        fires = self._make_fires(document)
        decisions = self._plan.put(document, fires, now)
        self._generations[document.pipeline] = document.generation
        await self._carry_out(decisions)

    async def _keep(self, document: PipelineDocument, envelope: bytes) -> None:
        await self._journal.put_document(document.pipeline, document.generation, envelope)
        await self._journal.state(AppliedRecord(pipeline=document.pipeline, generation=document.generation))
        log.info("pipeline %s (%s): generation %d applied", document.name, document.pipeline, document.generation)

    async def _remove(self, tombstone: Tombstone) -> None:
        """The tombstone's generation is the Unix time, in milliseconds, at which the pipeline was removed."""
        removed_at = datetime.fromtimestamp(tombstone.generation / 1000, UTC)
        held = self._plan.document(tombstone.pipeline) is not None
        await self._carry_out(self._plan.remove(tombstone.pipeline, removed_at, self._clock.now()))
        self._generations[tombstone.pipeline] = tombstone.generation
        await self._journal.forget(tombstone.pipeline, tombstone.generation)
        applied = AppliedRecord(pipeline=tombstone.pipeline, generation=tombstone.generation, removed=True)
        await self._journal.state(applied)
        if held:
            log.info("pipeline %s removed (%s)", tombstone.pipeline, tombstone.reason)

    async def _refuse(self, item: KeyValue, reason: str) -> None:
        """Once for each version of a key; the console also learns which generation this node does hold."""
        if self._refused.get(item.key) == item.mod_revision:
            return
        self._refused[item.key] = item.mod_revision
        log.warning("refused %s: %s", item.key, reason)
        records: list[Record] = [RefusedRecord(key=item.key, reason=reason, at=self._clock.now())]
        pipeline = item.key.rpartition("/")[2]
        if generation := self._generations.get(pipeline):
            removed = self._plan.document(pipeline) is None
            records.append(AppliedRecord(pipeline=pipeline, generation=generation, removed=removed))
        await self._journal.state(*records)


class Settings:
    """Follower of ``/ects/config``: the global pause, and what else every node shares."""

    def __init__(
        self, *, acceptance: Acceptance, journal: Journal, plan: Plan, carry_out: CarryOut, clock: Clock
    ) -> None:
        self._acceptance = acceptance
        self._journal = journal
        self._plan = plan
        self._carry_out = carry_out
        self._clock = clock
        self._generation = 0

    async def load_cache(self) -> None:
        """The settings as this node last saw them: a paused system stays paused over a restart."""
        envelope = await self._journal.config()
        if envelope is not None:
            await self._apply(envelope)

    async def snapshot(self, items: Sequence[KeyValue]) -> None:
        """Absence changes nothing."""
        for item in items:
            await self._take(item)

    async def events(self, events: Sequence[Event]) -> None:
        """Deletions change nothing."""
        for event in events:
            if event.kind == "put":
                await self._take(event.item)

    async def _take(self, item: KeyValue) -> None:
        try:
            await self._apply(item.value)
        except Refused as error:
            log.warning("refused %s: %s", item.key, error)
            await self._journal.state(RefusedRecord(key=item.key, reason=str(error), at=self._clock.now()))
        else:
            await self._journal.put_config(item.value)

    async def _apply(self, envelope: bytes) -> None:
        config = self._acceptance.config(envelope, self._generation)
        self._generation = config.generation
        await self._carry_out(self._plan.pause(config.paused, self._clock.now()))
