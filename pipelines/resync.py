"""Resync: makes etcd and the database agree again after etcd was wiped, keys were altered, or the database restored.

etcd is listed FIRST and the database read afterwards: whatever changes meanwhile makes the database newer than the
listing, never older, so that nothing is taken away that has just been written.
"""

import logging
from collections.abc import Iterable, Iterator, Mapping, Sequence
from datetime import timedelta
from uuid import UUID

from django.db.models import Q
from django.utils.timezone import now

from coordination.documents import Document, PipelineDocument, Tombstone
from coordination.gateway import Compare, Delete, Get, KeyValue
from pipelines import outbox, rendering
from pipelines.configuration import publish_config
from pipelines.models import Pipeline, Publication
from pipelines.relay import Relay, chunks
from pipelines.rendering import Source
from workers.models import Node

log = logging.getLogger(__name__)

BUDGET = 60.0
"""Seconds that a resync may write; the relay goes on with what is left."""

PAGE = 200
"""Pipelines compared at a time."""

FAREWELL = timedelta(days=7)
"""How long the tombstones of a deleted or retired node stay: it may still live and fire, but can no longer report."""


def resync() -> int:
    """Repairs keys that are missing, altered or unknown; the number of keys that needed it.

    For the leading master, when it begins to lead and every few minutes. Raises CoordinationError.
    """
    relay = Relay(BUDGET)
    listed = {item.key: item for item in relay.gateway.snapshot(relay.keys.all_pipelines()).items}
    repaired = 0
    for page in _pages(list(Pipeline.objects.order_by("pk").values_list("pk", flat=True))):
        outbox.mark(_misdirected(page))
        repaired += _compare(relay, page, listed)
    repaired += _compare_tombstones(relay, listed)
    repaired += _settle_unknown(relay, listed)
    _forget_deleted_nodes()
    relay.run(Publication.objects.all())
    publish_config()
    if repaired:
        log.warning("resync: %d keys in etcd were missing, altered or unknown; repaired", repaired)
    return repaired


def _pages(ids: Sequence[UUID]) -> Iterator[Sequence[UUID]]:
    return (ids[start : start + PAGE] for start in range(0, len(ids), PAGE))


def _misdirected(pipelines: Sequence[UUID]) -> list[UUID]:
    """Pipelines whose rows do not say what their bindings and labels say."""
    wanted = outbox.targets(pipelines)
    rows: dict[UUID, set[UUID]] = {}
    held = Publication.objects.filter(pipeline__in=pipelines, removal="")
    for pipeline, node in held.values_list("pipeline", "node"):
        rows.setdefault(pipeline, set()).add(node)
    return [pipeline for pipeline in pipelines if rows.get(pipeline, set()) != wanted.get(pipeline, set())]


def _compare(relay: Relay, pipelines: Sequence[UUID], listed: Mapping[str, KeyValue]) -> int:
    """Has documents published again that etcd does not show as the database renders them."""
    sources = rendering.read(pipelines)
    rows = list(Publication.objects.filter(pipeline__in=pipelines, removal="", pending=False))
    nodes = Node.objects.in_bulk({row.node for row in rows})
    lost: list[Publication] = []
    changed: set[UUID] = set()
    for row in rows:
        source, node = sources.get(row.pipeline), nodes.get(row.node)
        if not isinstance(source, Source) or node is None or source.generation != row.wanted:
            continue
        held = _held(relay, row, listed)
        if held is None or held.generation != row.wanted:
            lost.append(row)
        elif _differs(held, rendering.digest(source, node, row.not_before, relay.digest_key)):
            changed.add(row.pipeline)
    outbox.mark(changed)
    return _again(relay, lost, listed) + len(changed)


def _differs(held: Document, digest: str) -> bool:
    """Same generation, another content: something changed that no edit marks, such as the mail server."""
    return not isinstance(held, PipelineDocument) or held.digest != digest


def _compare_tombstones(relay: Relay, listed: Mapping[str, KeyValue]) -> int:
    lost = []
    for row in Publication.objects.filter(~Q(removal=""), pending=False):
        held = _held(relay, row, listed)
        if not isinstance(held, Tombstone) or held.generation != row.wanted:
            lost.append(row)
    return _again(relay, lost, listed)


def _held(relay: Relay, row: Publication, listed: Mapping[str, KeyValue]) -> Document | None:
    """None too for what a former key signed: it counts as lost."""
    item = listed.get(relay.keys.pipeline(str(row.node), str(row.pipeline)))
    return relay.open(item) if item and relay.is_signed_now(item) else None


def _again(relay: Relay, lost: Iterable[Publication], listed: Mapping[str, KeyValue]) -> int:
    """Has rows published again whose keys are still as they were listed; others were written meanwhile. The relay
    sees for itself whether etcd holds something newer, and steps past it."""
    by_key = {relay.keys.pipeline(str(row.node), str(row.pipeline)): row for row in lost}
    rows = [by_key[key].pk for key in _still(relay, by_key, listed)]
    settled = Publication.objects.filter(pk__in=rows, pending=False)
    return settled.update(pending=True, published=0, retry_at=None)


def _still(relay: Relay, keys: Iterable[str], listed: Mapping[str, KeyValue]) -> list[str]:
    """Those of the keys that nobody has written since the listing."""
    same = []
    for chunk in chunks(keys, len):
        found = relay.gateway.transact([], [Get(key) for key in chunk]).results
        for key, items in zip(chunk, found, strict=True):
            before, after = listed.get(key), items[0] if items else None
            if (before and before.mod_revision) == (after and after.mod_revision):
                same.append(key)
    return same


def _settle_unknown(relay: Relay, listed: Mapping[str, KeyValue]) -> int:
    """What the console has signed and the outbox does not know is revoked by a tombstone; what nobody could have
    acted on is deleted, if it is still as it was listed."""
    pairs = Publication.objects.values_list("node", "pipeline").iterator()
    known = {relay.keys.pipeline(str(node), str(pipeline)) for node, pipeline in pairs}
    unknown = [listed[key] for key in _still(relay, listed.keys() - known, listed)]
    for item in unknown:
        document = relay.open(item)
        if document is not None:
            name = document.name if isinstance(document, PipelineDocument) else ""
            outbox.mark_unknown(UUID(document.pipeline), UUID(document.node), document.generation, name)
        else:
            relay.gateway.transact([Compare.unchanged(item.key, item.mod_revision)], [Delete(item.key)])
    return len(unknown)


def _forget_deleted_nodes() -> None:
    """Tombstones of nodes that are gone for good or retired: nobody will ever report having applied them."""
    gone = Publication.objects.exclude(removal="").exclude(node__in=Node.objects.filter(retired_at=None).values("pk"))
    for row in gone.filter(wanted_at__lt=now() - FAREWELL):
        Publication.objects.filter(pk=row.pk, wanted=row.wanted).update(applied=row.wanted, pending=True)
