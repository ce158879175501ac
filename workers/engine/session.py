"""A worker's right to run shared fires: one leased key in etcd, of its own lease."""

import json
import logging
import uuid
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

from coordination.errors import CoordinationError
from coordination.gateway import Gateway, Lease, Put
from coordination.keys import Keys
from coordination.leases import LeaseKeeper
from workers.engine.clock import Clock

log = logging.getLogger(__name__)

REVOKE_WITHIN = 2.0
"""Seconds for the end of an earlier session; it ends by itself a little later."""


class Session:
    """Keeps ``/ects/sessions/<node>/<uuid>``; another uuid for each lease.

    ``on_kept(session, sent, ttl)``: the key is there and lives for ``ttl`` seconds from ``sent`` (CLOCK_BOOTTIME) at
    least. ``on_lost(session)``: it is over. ``lease_file`` remembers the lease over a kill, so that the next start can
    end it: its runs are dead by then, and others need not wait to take them over.
    """

    def __init__(
        self,
        gateway: Gateway,
        keys: Keys,
        node: str,
        ttl: float,
        clock: Clock,
        lease_file: Path,
        *,
        on_kept: Callable[[str, float, float], None],
        on_lost: Callable[[str], None],
    ) -> None:
        self._gateway = gateway
        self._keys = keys
        self._node = node
        self._lease_file = lease_file
        self._on_kept = on_kept
        self._on_lost = on_lost
        self._lease = 0
        self._name = ""
        self.has_begun = False
        """Whether there has been anything to have a session for."""
        self._keeper = LeaseKeeper(
            gateway,
            ttl,
            self._granted,
            clock=clock.boottime,
            sleep=clock.sleep,
            on_lost=lambda: self._on_lost(self._name),
            on_renewed=lambda sent, granted: self._on_kept(self._name, sent, granted),
        )

    @property
    def deadline(self) -> float:
        """Until when the key lives at least (CLOCK_BOOTTIME); in the past when it does not."""
        return self._keeper.deadline

    async def run(self) -> None:
        """Ends the session of an earlier life, then keeps one of its own until cancelled or ``aclose``."""
        if not self.has_begun:
            with suppress(OSError, ValueError, CoordinationError):
                earlier = int(json.loads(self._lease_file.read_text()))
                await self._gateway.revoke(earlier, timeout=REVOKE_WITHIN)
            self.has_begun = True
        await self._keeper.run()

    async def aclose(self) -> None:
        """Ends the session: what still runs under it is an orphan at once."""
        await self._keeper.aclose()

    async def _granted(self, lease: Lease) -> None:
        if lease.id != self._lease:
            self._lease, self._name = lease.id, str(uuid.uuid4())
        key = self._keys.session(self._node, self._name)
        await self._gateway.transact([], [Put(key, b"", lease.id)])
        with suppress(OSError):
            self._lease_file.write_text(json.dumps(lease.id))
        log.info("session %s", self._name)
