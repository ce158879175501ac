"""The console side: edits that become documents, and the leading master."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from msgspec.structs import replace

from coordination import documents, fires, upkeep
from coordination.documents import PipelineDocument, Tombstone
from coordination.errors import CoordinationError
from coordination.fires import Epoch
from coordination.gateway import Compare, Put
from tests.simulation.host import KEYS
from tests.simulation.ledger import Ledger
from tests.simulation.node import Node
from tests.simulation.world import BASE, Etcd, World, wall

TICK = 2.0
PATIENCE = timedelta(seconds=60)
CHANGEOVER = 30.0
"""Seconds ahead at which a change between every and one takes effect."""


@dataclass(frozen=True)
class Version:
    """A pipeline as it was after one edit. ``schedule`` empty: nothing shared is expected from ``at`` on."""

    generation: int
    at: datetime
    schedule: str
    document: PipelineDocument | None


class Console:
    """One pipeline's definition, and the master that looks after its record."""

    def __init__(
        self, world: World, etcd: Etcd, ledger: Ledger, nodes: Sequence[Node], document: PipelineDocument
    ) -> None:
        self.world = world
        self.etcd = etcd
        self.ledger = ledger
        self.nodes = nodes
        self.pipeline = document.pipeline
        self.has_master = True
        self.versions: list[Version] = []
        self.epochs: list[Epoch] = []
        self.publish(document)

    # -- edits --------------------------------------------------------------------------------------------------

    def publish(self, document: PipelineDocument, ahead: float = 0.0) -> None:
        """Save: the documents go out with the next tick of the master. No edit takes effect before an earlier one, also
        not one that was disabled before it took effect."""
        generation = self._generation()
        before = max((version.at for version in self.versions), default=wall(0))
        changed = replace(document, generation=generation, not_before=max(wall(self.world.now + ahead), before))
        shared = changed.placement != "every"
        self.versions.append(Version(generation, changed.not_before, changed.schedule if shared else "", changed))
        self.world.trace("edit", changed.schedule, changed.placement, changed.paused, ahead)

    def disable(self) -> None:
        """Tombstones go out."""
        generation = self._generation()
        self.versions.append(Version(generation, BASE + _since_base(generation), "", None))
        self.world.trace("disabled")

    @property
    def document(self) -> PipelineDocument:
        """The last one that was saved."""
        return next(version.document for version in reversed(self.versions) if version.document)

    def _generation(self) -> int:
        now = int(BASE.timestamp() * 1000) + int(self.world.now * 1000)
        return max(now, self.versions[-1].generation + 1 if self.versions else 0)

    # -- the master ---------------------------------------------------------------------------------------------

    def tick(self) -> None:
        """One round of the leading master."""
        self.world.after(TICK, self.tick)
        if not self.has_master or self.etcd.store.unavailable:
            return
        try:
            self._keep_epoch()
            self._relay()
            self._tend()
        except CoordinationError:
            return
        finally:
            self.etcd.publish()

    def _keep_epoch(self) -> None:
        if self.etcd.store.get(KEYS.epoch()) is None:
            self._put_epoch(Compare.absent(KEYS.epoch()))

    def begin_epoch(self) -> None:
        """A new one, in place of the one there is."""
        if not self.etcd.store.unavailable and self.epochs:
            self._put_epoch(Compare.holds(KEYS.epoch(), fires.encode(self.epochs[-1])))
            self.etcd.publish()

    def _put_epoch(self, compare: Compare) -> None:
        now = wall(self.world.now)
        epoch = Epoch(id=int(now.timestamp() * 1000), created=now, first=not self.epochs)
        if self.etcd.store.transact((compare,), (Put(KEYS.epoch(), fires.encode(epoch)),)).succeeded:
            self.epochs.append(epoch)
            self.world.trace("epoch", epoch.id)

    def _relay(self) -> None:
        version = self.versions[-1]
        for node in self.nodes:
            key = KEYS.pipeline(node.name, self.pipeline)
            item = self.etcd.store.get(key)
            if item is not None and documents.decode_document(item.value).generation >= version.generation:
                continue
            if version.document is None:
                stone = Tombstone(
                    pipeline=self.pipeline, node=node.name, generation=version.generation, reason="disabled"
                )
                value = documents.encode(stone)
            else:
                value = documents.encode(replace(version.document, node=node.name))
            self.etcd.store.transact((), (Put(key, value),))

    def _tend(self) -> None:
        item = self.etcd.store.get(KEYS.fires(self.pipeline))
        before = fires.seen(item)
        if before.record is None or not self.epochs or before.record.epoch != self.epochs[-1].id:
            return
        sessions = [KEYS.parse_session(found.key) for found in self.etcd.store.snapshot(KEYS.sessions()).items]
        now = wall(self.world.now)
        for entry in upkeep.unwritten(before.record, now, PATIENCE):
            self.ledger.provide(upkeep.ledger_row(self.pipeline, self.document.name, 0, entry))
        record = upkeep.tended(
            before.record,
            epoch=self.epochs[-1],
            generation=self.versions[-1].generation,
            sessions=sessions,
            bound_alive=bool(self.etcd.store.snapshot(KEYS.nodes()).items),
            stored=self.ledger.stored.get(self.pipeline, set()),
            now=now,
        )
        if record is not before.record:
            after = fires.next_version(before, record)
            transaction = fires.write(KEYS, self.pipeline, before, after, self.epochs[-1])
            # The answer may be late: in between, a worker writes and this one is refused.
            self.world.after(0.01, self._commit, transaction)

    def _commit(self, transaction: fires.Transaction) -> None:
        if not self.etcd.store.unavailable:
            self.etcd.store.transact(transaction.compares, transaction.then)
            self.etcd.publish()


def _since_base(generation: int) -> timedelta:
    return timedelta(milliseconds=generation) - timedelta(seconds=BASE.timestamp())
