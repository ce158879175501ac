"""Follows a prefix in etcd: a snapshot first, then every change, and a new snapshot on any doubt."""

import asyncio
import logging
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import aclosing, asynccontextmanager
from typing import Any, Protocol, TypeVar

from coordination.errors import Compacted, CoordinationError
from coordination.gateway import Event, Gateway, KeyValue
from workers.engine.clock import Clock

log = logging.getLogger(__name__)

T = TypeVar("T")

RETRY = 0.5
"""Seconds before etcd is asked again after a failure; doubled each time up to ``RETRY_MOST``."""

RETRY_MOST = 3.0


class Follower(Protocol):
    """Who wants to know."""

    async def snapshot(self, items: Sequence[KeyValue]) -> None:
        """Everything there is now; what is not in it is not there."""
        ...

    async def events(self, events: Sequence[Event]) -> None:
        """What changed since, in order."""
        ...


class Watcher:
    """Keeps one follower informed of one prefix, for ever; ``run`` returns only when it is cancelled."""

    def __init__(
        self,
        gateway: Gateway,
        prefix: str,
        follower: Follower,
        clock: Clock,
        on_connection: Callable[[str, bool], None] = lambda prefix, connected: None,
    ) -> None:
        self._gateway = gateway
        self._prefix = prefix
        self._follower = follower
        self._clock = clock
        self._on_connection = on_connection
        self._retry = RETRY
        self._again = asyncio.Event()
        self.synced = asyncio.Event()
        """Set once the follower has seen a first snapshot."""

    def look_again(self) -> None:
        """Has the follower see everything anew."""
        self._again.set()

    async def run(self) -> None:
        """Snapshot, watch, and again. etcd's failures are logged and retried; the follower's own are raised."""
        while True:
            try:
                await self._follow()
            except Compacted as error:
                log.info("%s: %s", self._prefix, error)
            except CoordinationError as error:
                self._on_connection(self._prefix, False)
                log.warning("%s: etcd: %s; trying again in %.1f s", self._prefix, error, self._retry)
                await self._clock.sleep(self._retry)
                self._retry = min(self._retry * 2, RETRY_MOST)

    async def _follow(self) -> None:
        self._again.clear()
        snapshot = await self._gateway.snapshot(self._prefix)
        self._retry = RETRY
        await self._follower.snapshot(snapshot.items)
        self.synced.set()
        watch = self._gateway.watch(self._prefix, snapshot.revision + 1)
        async with aclosing(watch) as batches, _waiting(self._again.wait()) as asked:
            while not asked.done():
                async with _waiting(anext(batches, None)) as coming:
                    waited: set[asyncio.Future[Any]] = {coming, asked}
                    await asyncio.wait(waited, return_when=asyncio.FIRST_COMPLETED)
                    if not coming.done():
                        return
                    if (batch := coming.result()) is None:
                        return
                    if batch.confirmed:
                        self._on_connection(self._prefix, True)
                    if batch.events:
                        await self._follower.events(batch.events)


@asynccontextmanager
async def _waiting(work: Awaitable[T]) -> AsyncIterator[asyncio.Future[T]]:
    """The work beside the block; it is ended with it."""
    task = asyncio.ensure_future(work)
    try:
        yield task
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
