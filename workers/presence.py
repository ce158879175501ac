"""The leading master follows the nodes' leases: a node is online while its key lives."""

import asyncio
import logging
from collections.abc import Collection, Iterable
from contextlib import aclosing

from django.db import close_old_connections
from django.utils import timezone
from msgspec import DecodeError

from coordination import documents
from coordination.documents import Presence
from coordination.errors import Compacted
from coordination.gateway import Gateway, KeyValue
from coordination.keys import Keys
from workers import online
from workers.models import Node

log = logging.getLogger(__name__)

REFRESH = 30.0
"""Seconds between two whole looks; also brings ``last_seen`` up to date."""


async def follow(gateway: Gateway, keys: Keys) -> None:
    """Brings the nodes' rows in step with etcd, for ever. Raises CoordinationError when etcd cannot be reached."""
    while True:
        snapshot = await gateway.snapshot(keys.nodes())
        await asyncio.to_thread(_apply_all, keys, snapshot.items)
        try:
            async with asyncio.timeout(REFRESH):
                await _follow_changes(gateway, keys, snapshot.revision + 1)
        except (TimeoutError, Compacted):
            continue


def saw_void(epoch: int) -> bool:
    """Whether a node says that etcd has gone back in time in this epoch."""
    return Node.objects.filter(void_epoch=epoch).exists()


async def _follow_changes(gateway: Gateway, keys: Keys, revision: int) -> None:
    async with aclosing(gateway.watch(keys.nodes(), revision)) as batches:
        async for batch in batches:
            for event in batch.events:
                if event.kind == "put":
                    await asyncio.to_thread(_apply, keys, [event.item])
                else:
                    await asyncio.to_thread(_gone, keys, event.item)


def _apply_all(keys: Keys, items: Iterable[KeyValue]) -> None:
    alive = _apply(keys, items)
    close_old_connections()
    away = Node.objects.filter(online=True).exclude(pk__in=alive)
    _offline([str(pk) for pk in away.values_list("pk", flat=True)])
    online.forget(timezone.now())


def _apply(keys: Keys, items: Iterable[KeyValue]) -> list[str]:
    close_old_connections()
    known = {str(pk) for pk in Node.objects.values_list("pk", flat=True)}
    alive = []
    for item in items:
        try:
            node, presence = keys.parse_node(item.key), documents.decode_presence(item.value)
        except (ValueError, DecodeError) as error:
            log.warning("%s is not a presence: %s", item.key, error)
            continue
        if presence.mode == "master":
            _admit_master(node, presence)
        elif node not in known:
            log.warning("%s announces a node that has not enrolled", item.key)
            continue
        alive.append(node)
        _write(node, presence)
    return alive


def _write(node: str, presence: Presence) -> None:
    now = timezone.now()
    online.came(node, now)
    Node.objects.filter(pk=node).update(
        online=True,
        last_seen=now,
        host=presence.host[:255],
        port=presence.port,
        version=presence.version[:50],
        capacity=presence.capacity,
        running=presence.running,
        draining=presence.draining,
        started_at=presence.started_at,
    )


def _admit_master(node: str, presence: Presence) -> None:
    """A new one, or one that was made in the console for whoever comes under its id. One that has joined as a worker
    stays what it is."""
    rows = Node.objects.filter(pk=node)
    if rows.exists():
        rows.filter(mode=Node.Mode.WORKER, public_key=None).update(mode=Node.Mode.MASTER)
        return
    name = presence.name[:140]
    if Node.objects.filter(name=name).exists():
        name = f"{name} {node[:8]}"
    values = {"name": name, "description": presence.description[:500], "mode": Node.Mode.MASTER}
    Node.objects.get_or_create(pk=node, defaults=values)


def _gone(keys: Keys, item: KeyValue) -> None:
    close_old_connections()
    _offline([keys.parse_node(item.key)])


def _offline(nodes: Collection[str]) -> None:
    online.went(nodes, timezone.now())
    Node.objects.filter(pk__in=nodes).update(online=False)
