"""A lease that is kept alive, and whose loss is noticed without asking anybody."""

import asyncio
import logging
import math
from collections.abc import Awaitable, Callable
from contextlib import suppress

from coordination.errors import CoordinationError, LeaseLost
from coordination.gateway import CALL_TIMEOUT, Gateway, Lease

log = logging.getLogger(__name__)


class LeaseKeeper:
    """Holds one lease for as long as ``run`` runs, and takes a new one whenever it is lost.

    ``on_granted(lease)`` is awaited after each grant: the owner writes its keys there. When it raises a
    CoordinationError it is called again. ``on_lost()`` is called once for each loss: the store says that the lease is
    gone, or it must be gone by the local clock since the last renewal was sent more than ``ttl`` seconds ago.
    ``on_renewed(sent, ttl)`` is called once the owner's keys are there and after each renewal: the lease lives for
    ``ttl`` seconds from ``sent`` at least.
    ``clock`` gives monotonic seconds (CLOCK_BOOTTIME where a suspended machine must count), ``sleep`` waits.
    """

    def __init__(
        self,
        gateway: Gateway,
        ttl: float,
        on_granted: Callable[[Lease], Awaitable[None]],
        *,
        clock: Callable[[], float],
        on_lost: Callable[[], None] = lambda: None,
        on_renewed: Callable[[float, float], None] = lambda sent, ttl: None,
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
    ) -> None:
        self._gateway = gateway
        self._ttl = ttl
        self._on_granted = on_granted
        self._on_lost = on_lost
        self._on_renewed = on_renewed
        self._clock = clock
        self._sleep = sleep
        self._retry = min(1.0, ttl / 10)
        self._lease: Lease | None = None
        self._announced = False
        self._sent = -math.inf
        self._renew_at = -math.inf
        self._deadline = -math.inf
        self._closing = asyncio.Event()
        self._idle = asyncio.Event()
        self._idle.set()

    @property
    def lease(self) -> Lease | None:
        """The lease, or None while there is none or its time is over."""
        return self._lease if self._clock() < self._deadline else None

    @property
    def deadline(self) -> float:
        """Until when the lease lives at least: the clock's time when its last successful renewal was sent, plus its
        TTL. In the past when there is none."""
        return self._deadline

    async def run(self) -> None:
        """Keep the lease until ``aclose``, or until cancelled. Raises only what ``on_granted`` raises beside
        CoordinationError."""
        self._idle.clear()
        try:
            while not self._closing.is_set():
                await self._pause(await self._round())
        finally:
            self._idle.set()

    async def aclose(self) -> None:
        """End ``run`` and revoke the lease, so that its keys vanish at once. Not reported as a loss. When the store
        cannot be reached, the lease ends by itself."""
        self._closing.set()
        await self._idle.wait()
        lease, self._lease, self._deadline = self._lease, None, -math.inf
        if lease is not None:
            with suppress(CoordinationError):
                await self._gateway.revoke(lease.id, timeout=min(CALL_TIMEOUT, self._ttl / 3))

    async def _round(self) -> float:
        """Do what is due; the seconds until there is more to do."""
        if self._lease is not None and self._clock() >= self._deadline:
            self._lose("not renewed in time")
        try:
            if self._lease is None:
                await self._grant()
            elif self._clock() >= self._renew_at:
                await self._renew(self._lease)
            if self._lease is not None and not self._announced:
                await self._announce(self._lease)
            return self._renew_at - self._clock()
        except LeaseLost as error:
            self._lose(str(error))
        except (CoordinationError, TimeoutError) as error:
            log.warning("lease of %g s: %s; trying again in %g s", self._ttl, error, self._retry)
        if self._lease is None:
            return self._retry
        return min(self._retry, self._deadline - self._clock())

    async def _grant(self) -> None:
        sent = self._clock()
        lease = await self._gateway.grant(self._ttl, timeout=min(CALL_TIMEOUT, self._ttl))
        self._lease, self._announced = lease, False
        self._renewed(sent, lease.ttl)

    async def _renew(self, lease: Lease) -> None:
        sent = self._clock()
        timeout = min(self._ttl / 3, self._deadline - sent)
        self._renewed(sent, await self._gateway.keep_alive(lease.id, timeout=timeout))

    async def _announce(self, lease: Lease) -> None:
        async with asyncio.timeout(self._deadline - self._clock()):
            await self._on_granted(lease)
        self._announced = True
        self._on_renewed(self._sent, self._deadline - self._sent)

    def _renewed(self, sent: float, ttl: float) -> None:
        self._sent, self._deadline = sent, sent + ttl
        self._renew_at = sent + ttl / 3
        if self._announced:
            self._on_renewed(sent, ttl)

    def _lose(self, reason: str) -> None:
        log.warning("lease of %g s lost: %s", self._ttl, reason)
        self._lease, self._deadline = None, -math.inf
        self._on_lost()

    async def _pause(self, seconds: float) -> None:
        waits = [asyncio.ensure_future(self._sleep(max(seconds, 0.0))), asyncio.ensure_future(self._closing.wait())]
        try:
            await asyncio.wait(waits, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for wait in waits:
                wait.cancel()
