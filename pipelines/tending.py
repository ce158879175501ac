"""What the leading master does for the records of shared pipelines: it tells the ledger what no worker can tell any
more, closes the runs of the dead, and raises the generation once every node has its document.

The rules are ``coordination.upkeep``'s; here they meet etcd and the database.
"""

import logging
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from uuid import UUID

from django.db.models import F, Max
from msgspec import DecodeError

from coordination import fires, upkeep
from coordination.fires import Decision, Epoch, FireRecord, Seen
from coordination.gateway import Compare, Delete, KeyValue, SyncGateway
from coordination.keys import Keys
from coordination.records import RunRecord
from logs import history
from pipelines.models import Pipeline, Publication
from workers import store
from workers.models import Node

log = logging.getLogger(__name__)

PATIENCE = timedelta(seconds=60)
"""How long a node may take to deliver its own decisions before the master writes them into the ledger."""

NOBODY = UUID(int=0)


@dataclass(frozen=True, slots=True)
class _Case:
    """One record as it was found, with its pipeline as the database knows it."""

    pipeline: UUID
    name: str
    seen: Seen
    record: FireRecord


@dataclass(frozen=True, slots=True)
class _Bonds:
    """What the outbox says of a pipeline: the generation that every node has, and who is to hold it."""

    generation: int
    nodes: frozenset[UUID]


def tend(leadership: Compare, now: datetime) -> int:
    """One round over all records; how many were changed. ``leadership`` is true only while the caller leads.

    Raises CoordinationError.
    """
    gateway, keys = store.sync_gateway(), store.keys()
    epoch = _epoch(gateway, keys)
    items = gateway.snapshot(keys.all_fires()).items
    if epoch is None or not items:
        return 0
    # After the records: a session that is not here now cannot be one that a record has named since.
    sessions = {keys.parse_session(item.key) for item in gateway.snapshot(keys.sessions()).items}
    alive = {item.key.rpartition("/")[2] for item in gateway.snapshot(keys.nodes()).items}
    cases, bonds = _cases(keys, items, epoch), _bonds(_pipelines(keys, items))
    rows = {case.pipeline: _rows(case) for case in cases}
    _tell(cases, rows, now)
    ended = history.ended([UUID(row.run) for each in rows.values() for row, _ in each])
    changed = _forget_deleted(gateway, leadership, keys, items, bonds)
    for case in cases:
        bond = bonds.get(case.pipeline, _Bonds(0, frozenset()))
        after = upkeep.tended(
            case.record,
            epoch=epoch,
            generation=bond.generation,
            sessions=sessions,
            bound_alive=any(str(node) in alive for node in bond.nodes),
            stored={(entry.instant, entry.attempt) for row, entry in rows[case.pipeline] if UUID(row.run) in ended},
            now=now,
        )
        if after is not case.record:
            written = fires.next_version(case.seen, after)
            transaction = fires.write(keys, str(case.pipeline), case.seen, written, epoch, leadership)
            changed += gateway.transact(transaction.compares, transaction.then).succeeded
    return changed


def _epoch(gateway: SyncGateway, keys: Keys) -> Epoch | None:
    item = gateway.get(keys.epoch())
    try:
        return fires.decode_epoch(item.value) if item else None
    except DecodeError:
        return None


def _pipelines(keys: Keys, items: Iterable[KeyValue]) -> set[UUID]:
    found = set()
    for item in items:
        try:
            found.add(UUID(item.key.removeprefix(keys.all_fires())))
        except ValueError:
            log.warning("%s is no record of a pipeline", item.key)
    return found


def _cases(keys: Keys, items: Sequence[KeyValue], epoch: Epoch) -> list[_Case]:
    """The records of the present epoch. One of another is void, and left to the workers to inherit."""
    names = dict(Pipeline.objects.filter(pk__in=_pipelines(keys, items)).values_list("pk", "name"))
    cases = []
    for item in items:
        seen = fires.seen(item)
        if seen.record is not None and seen.record.epoch == epoch.id and (found := _pipelines(keys, [item])):
            [pipeline] = found
            cases.append(_Case(pipeline, names.get(pipeline, str(pipeline)), seen, seen.record))
    return cases


def _bonds(pipelines: Iterable[UUID]) -> dict[UUID, _Bonds]:
    """Only those of which every node has its newest document."""
    rows = Publication.objects.filter(pipeline__in=list(pipelines))
    behind = set(rows.filter(published__lt=F("wanted")).values_list("pipeline", flat=True))
    newest = dict(rows.order_by("pipeline").values_list("pipeline").annotate(Max("wanted")))
    nodes: dict[UUID, set[UUID]] = {pipeline: set() for pipeline in newest}
    for pipeline, node in rows.filter(removal="").values_list("pipeline", "node"):
        nodes[pipeline].add(node)
    return {
        pipeline: _Bonds(0 if pipeline in behind else generation, frozenset(nodes[pipeline]))
        for pipeline, generation in newest.items()
    }


def _rows(case: _Case) -> list[tuple[RunRecord, Decision]]:
    generation = case.record.timing.generation if case.record.timing else case.record.generation
    return [
        (upkeep.ledger_row(str(case.pipeline), case.name, generation, entry), entry) for entry in case.record.recent
    ]


def _tell(cases: Sequence[_Case], rows: Mapping[UUID, list[tuple[RunRecord, Decision]]], now: datetime) -> None:
    """Writes into the ledger what no worker has delivered."""
    names: dict[str, str] = {}
    for case in cases:
        wanted = upkeep.unwritten(case.record, now, PATIENCE)
        told = [(row, entry) for row, entry in rows[case.pipeline] if entry in wanted]
        there = history.ended([UUID(row.run) for row, _ in told])
        for row, entry in told:
            if UUID(row.run) not in there:
                names = names or {str(pk): name for pk, name in Node.objects.values_list("pk", "name")}
                history.provide(row, _node(entry.node), names.get(entry.node, ""), now)


def _node(text: str) -> UUID:
    try:
        return UUID(text)
    except ValueError:
        return NOBODY


def _forget_deleted(
    gateway: SyncGateway, leadership: Compare, keys: Keys, items: Sequence[KeyValue], bonds: Mapping[UUID, _Bonds]
) -> int:
    """The records of pipelines that nobody has any more: deleted, and forgotten by every node."""
    gone = 0
    pipelines = _pipelines(keys, items) - bonds.keys()
    left = pipelines - set(Pipeline.objects.filter(pk__in=pipelines).values_list("pk", flat=True))
    for item in items:
        seen = fires.seen(item)
        if _pipelines(keys, [item]) & left and not (seen.record and (seen.record.runs or seen.record.recent)):
            compare = Compare.unchanged(item.key, item.mod_revision)
            gone += gateway.transact([compare, leadership], [Delete(item.key)]).succeeded
    return gone
