"""Takes this node's documents and the shared settings from etcd into the plan, and keeps a copy on disk.

Bare absence of a key is no order to forget: only a signed tombstone is. So a wiped etcd stops nothing.
"""

import logging
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime

from coordination.crypto import Refused
from coordination.documents import PipelineDocument, SharedConfig, Tombstone
from coordination.gateway import Event, KeyValue
from coordination.keys import Keys
from coordination.records import AppliedRecord, Record, RefusedRecord
from workers.engine.acceptance import Acceptance
from workers.engine.clock import Clock
from workers.engine.journal import Journal
from workers.engine.plan import REMOVED, Decision, Fires, Plan
from workers.engine.schedule import ScheduleError
from workers.engine.shared import Shared

log = logging.getLogger(__name__)

MakeFires = Callable[[PipelineDocument], Fires]
"""Compiles a document's schedule; raises ScheduleError."""

CarryOut = Callable[[Sequence[Decision]], Awaitable[None]]

EVERYWHERE = "every node fires it by itself now"


@dataclass(frozen=True, slots=True)
class _Ahead:
    """A document with another placement, which holds from an instant on that is the same for all nodes."""

    at: datetime
    document: PipelineDocument
    envelope: bytes


class Definitions:
    """Follower of ``/ects/pipelines/<node>/``.

    A pipeline is in the plan when each node fires it by itself, and among the shared ones when one of them does.
    """

    def __init__(
        self,
        *,
        keys: Keys,
        acceptance: Acceptance,
        journal: Journal,
        plan: Plan,
        shared: Shared,
        make_fires: MakeFires,
        carry_out: CarryOut,
        clock: Clock,
        generations: dict[str, int],
    ) -> None:
        self._keys = keys
        self._acceptance = acceptance
        self._journal = journal
        self._plan = plan
        self._shared = shared
        self._make_fires = make_fires
        self._carry_out = carry_out
        self._clock = clock
        self._generations = generations
        self._refused: dict[str, int] = {}
        self._ahead: dict[str, list[_Ahead]] = {}

    async def load_cache(self) -> None:
        """What this node held when it last ran: it fires from this until etcd says otherwise."""
        held = [cached.envelope for cached in await self._journal.documents()]
        for envelope in [*held, *await self._journal.ahead()]:
            document = self._acceptance.cached(envelope)
            if document is None:
                log.warning("the copy of a pipeline is not valid any more; waiting for etcd")
                continue
            try:
                await self._hold(document, envelope)
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

    def next_turn(self) -> datetime | None:
        """When ``turn`` has something to do."""
        return min((queue[0].at for queue in self._ahead.values()), default=None)

    async def turn(self, now: datetime) -> None:
        """The changes of placement whose instant has come."""
        for pipeline in list(self._ahead):
            while (queue := self._ahead.get(pipeline)) and queue[0].at <= now:
                ahead = queue.pop(0)
                await self._plan_document(ahead.document, now)
                if not queue:
                    del self._ahead[pipeline]
                    await self._journal.put_document(pipeline, ahead.document.generation, ahead.envelope)

    async def _take(self, item: KeyValue) -> None:
        try:
            _, pipeline = self._keys.parse_pipeline(item.key)
            held = self._generations.get(pipeline, 0)
            document = self._acceptance.document(item.value, pipeline, held)
            if isinstance(document, Tombstone):
                await self._remove(document)
            elif document.generation > held or not self._holds(pipeline):
                await self._hold(document, item.value)
                await self._journal.state(AppliedRecord(pipeline=pipeline, generation=document.generation))
                log.info("pipeline %s (%s): generation %d applied", document.name, pipeline, document.generation)
        except (Refused, ScheduleError, ValueError) as error:
            await self._refuse(item, str(error))

    def _holds(self, pipeline: str) -> bool:
        return self._plan.document(pipeline) is not None or self._shared.document(pipeline) is not None

    async def _hold(self, document: PipelineDocument, envelope: bytes) -> None:
        """Acts on a document, at once, or from its ``not_before`` on when who fires it changes."""
        now, at, pipeline = self._clock.now(), document.not_before, document.pipeline
        earlier = [ahead for ahead in self._ahead.pop(pipeline, []) if ahead.at < at]
        waits = at > now and (bool(earlier) or self._changes_hands(document))
        if document.placement == "every":
            self._make_fires(document)
            self._shared.remove(pipeline, document.generation, at, EVERYWHERE)
        else:
            self._shared.put(document)
        self._generations[pipeline] = document.generation
        if waits:
            self._ahead[pipeline] = [*earlier, _Ahead(at, document, envelope)]
            await self._journal.put_ahead(pipeline, document.generation, envelope)
            await self._carry_out([])
        else:
            await self._plan_document(document, now)
            await self._journal.put_document(pipeline, document.generation, envelope)

    def _changes_hands(self, document: PipelineDocument) -> bool:
        """Between every node and one of them: until then the plan goes on with what it has."""
        other = self._shared if document.placement == "every" else self._plan
        return other.document(document.pipeline) is not None

    async def _plan_document(self, document: PipelineDocument, now: datetime) -> None:
        if document.placement == "every":
            decisions = self._plan.put(document, self._make_fires(document), now)
        else:
            decisions = self._plan.remove(document.pipeline, document.not_before, now)
        await self._carry_out(decisions)

    async def _remove(self, tombstone: Tombstone) -> None:
        """The tombstone's generation is the Unix time, in milliseconds, at which the pipeline was removed."""
        pipeline, generation = tombstone.pipeline, tombstone.generation
        removed_at = datetime.fromtimestamp(generation / 1000, UTC)
        held = self._holds(pipeline)
        self._ahead.pop(pipeline, None)
        self._shared.remove(pipeline, generation, removed_at, REMOVED, elsewhere=tombstone.reason == "unbound")
        await self._carry_out(self._plan.remove(pipeline, removed_at, self._clock.now()))
        self._generations[pipeline] = generation
        await self._journal.forget(pipeline, generation)
        await self._journal.state(AppliedRecord(pipeline=pipeline, generation=generation, removed=True))
        if held:
            log.info("pipeline %s removed (%s)", pipeline, tombstone.reason)

    async def _refuse(self, item: KeyValue, reason: str) -> None:
        """Once for each version of a key; the console also learns which generation this node does hold."""
        if self._refused.get(item.key) == item.mod_revision:
            return
        self._refused[item.key] = item.mod_revision
        log.warning("refused %s: %s", item.key, reason)
        records: list[Record] = [RefusedRecord(key=item.key, reason=reason, at=self._clock.now())]
        pipeline = item.key.rpartition("/")[2]
        if generation := self._generations.get(pipeline):
            records.append(AppliedRecord(pipeline=pipeline, generation=generation, removed=not self._holds(pipeline)))
        await self._journal.state(*records)


class Settings:
    """Follower of ``/ects/config``: the global pause, and what else every node shares."""

    def __init__(
        self,
        *,
        acceptance: Acceptance,
        journal: Journal,
        plan: Plan,
        shared: Shared,
        carry_out: CarryOut,
        clock: Clock,
    ) -> None:
        self._acceptance = acceptance
        self._journal = journal
        self._plan = plan
        self._shared = shared
        self._carry_out = carry_out
        self._clock = clock
        self._generation = 0

    async def load_cache(self) -> None:
        """The settings as this node last saw them: a paused system stays paused over a restart."""
        envelope = await self._journal.config()
        config = self._acceptance.cached_config(envelope) if envelope is not None else None
        if config is not None:
            await self._apply(config)

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
            await self._apply(self._acceptance.config(item.value, self._generation))
        except Refused as error:
            log.warning("refused %s: %s", item.key, error)
            await self._journal.state(RefusedRecord(key=item.key, reason=str(error), at=self._clock.now()))
        else:
            await self._journal.put_config(item.value)

    async def _apply(self, config: SharedConfig) -> None:
        self._generation = config.generation
        self._shared.pause(config.paused)
        await self._carry_out(self._plan.pause(config.paused, self._clock.now()))
