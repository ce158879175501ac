"""One leader among many candidates, by a leased key."""

import asyncio
import logging
from collections.abc import Awaitable, Callable
from contextlib import aclosing

from coordination.errors import CoordinationError
from coordination.gateway import Compare, Gateway, Get, KeyValue, Lease, Put
from coordination.leases import LeaseKeeper

log = logging.getLogger(__name__)

TTL = 10.0
"""Seconds after which a leader that has vanished is replaced, unless the caller says otherwise."""

RETRY = 0.5
"""Seconds before the store is asked again after a failure."""


class Election:
    """A candidacy for the leadership that ``key`` stands for.

    ``name`` is written into the key, for people to read. ``clock`` gives monotonic seconds, ``sleep`` waits.
    """

    def __init__(
        self,
        gateway: Gateway,
        key: str,
        name: str,
        *,
        clock: Callable[[], float],
        ttl: float = TTL,
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
    ) -> None:
        self._gateway = gateway
        self._key = key
        self._name = name
        self._sleep = sleep
        self._keeper = LeaseKeeper(gateway, ttl, self._granted, clock=clock, on_lost=self._lost, sleep=sleep)
        self._has_lease = asyncio.Event()
        self._lost_lease = asyncio.Event()
        self._revision = 0

    @property
    def revision(self) -> int:
        """While leading, the revision that made this candidate the leader, else 0. A transaction that compares the
        key's create_revision with it cannot be carried out by a leader that was replaced."""
        return self._revision if self._keeper.lease is not None else 0

    @property
    def deadline(self) -> float:
        """Until when the candidate's lease lives at least, on its clock; in the past when there is none."""
        return self._keeper.deadline

    async def run(self, work: Callable[[], Awaitable[None]]) -> None:
        """Be a candidate until cancelled, and run ``work()`` while leading.

        ``work`` is cancelled as soon as the leadership is lost: the key is gone or somebody else's, or the lease has
        not been renewed for its TTL by the local clock. When leadership is won again, ``work()`` is called again.
        When ``work`` returns or raises, so does ``run``. However it ends, it resigns, and a successor takes over at
        once.
        """
        try:
            await _first(self._keeper.run(), self._campaign(work))
        finally:
            self._revision = 0
            await self._keeper.aclose()

    async def _campaign(self, work: Callable[[], Awaitable[None]]) -> None:
        while True:
            await self._has_lease.wait()
            lease, lost = self._keeper.lease, self._lost_lease
            try:
                won = lease is not None and await self._compete(lease)
            except CoordinationError as error:
                log.warning("election of %s: %s; trying again in %g s", self._key, error, RETRY)
                await self._sleep(RETRY)
                continue
            if lease is None:
                await lost.wait()
            elif not won:
                await self._until(lambda item: item is None)
            elif await self._lead(lease, lost, work):
                return

    async def _compete(self, lease: Lease) -> bool:
        """Try to write the key. A key under our own lease is an earlier try whose answer was lost."""
        outcome = await self._gateway.transact(
            [Compare.absent(self._key)], [Put(self._key, self._name.encode(), lease.id)], [Get(self._key)]
        )
        if outcome.succeeded:
            self._revision = outcome.revision
            return True
        holder = outcome.results[0][0]
        self._revision = holder.create_revision if holder.lease == lease.id else 0
        return self._revision > 0

    async def _lead(self, lease: Lease, lost: asyncio.Event, work: Callable[[], Awaitable[None]]) -> bool:
        """Run the work while leading. True when it came to its end by itself."""
        log.info("%s leads %s", self._name, self._key)
        ended = await _first(
            work(),
            lost.wait(),
            self._until(lambda item: item is None or item.lease != lease.id),
        )
        self._revision = 0
        log.info("%s no longer leads %s", self._name, self._key)
        return ended == 0

    async def _until(self, condition: Callable[[KeyValue | None], bool]) -> None:
        """Until the key, or None for its absence, meets the condition. An unreachable store changes nothing."""
        while True:
            try:
                snapshot = await self._gateway.snapshot(self._key)
                if condition(next((item for item in snapshot.items if item.key == self._key), None)):
                    return
                async with aclosing(self._gateway.watch(self._key, snapshot.revision + 1)) as batches:
                    async for batch in batches:
                        for event in batch.events:
                            item = event.item if event.kind == "put" else None
                            if event.item.key == self._key and condition(item):
                                return
            except CoordinationError as error:
                log.warning("election of %s: %s; trying again in %g s", self._key, error, RETRY)
            await self._sleep(RETRY)

    async def _granted(self, lease: Lease) -> None:
        # An event of its own for each lease: a loss stays visible to those who hold that lease.
        self._lost_lease = asyncio.Event()
        self._has_lease.set()

    def _lost(self) -> None:
        self._revision = 0
        self._has_lease.clear()
        self._lost_lease.set()


async def _first(*awaitables: Awaitable[object]) -> int:
    """Run all side by side until one ends; its position. The others are cancelled, and have ended too. Raises what
    the first one raised."""
    tasks = [asyncio.ensure_future(each) for each in awaitables]
    try:
        await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
        first = next(position for position, task in enumerate(tasks) if task.done())
        tasks[first].result()
        return first
    finally:
        for task in tasks:
            task.cancel()
        for result in await asyncio.gather(*tasks, return_exceptions=True):
            if isinstance(result, Exception):
                log.debug("while ending: %r", result)
