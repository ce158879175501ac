"""This node's sign of life in etcd: one leased key that says who and how it is."""

import json
import logging
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

from coordination import documents
from coordination.documents import Presence as PresenceDocument
from coordination.errors import CoordinationError, Unavailable
from coordination.gateway import Compare, Gateway, Get, Lease, Put
from coordination.leases import LeaseKeeper
from workers.engine.clock import Clock

log = logging.getLogger(__name__)

TTL = 10.0
"""Seconds for which the node counts as alive without a renewal."""

REFRESH = 5.0
"""Seconds between two looks whether what the key says is still true."""


class TakenByAnother(Unavailable):
    """Another living process has announced itself under this node's id."""


class Presence:
    """Keeps ``/ects/nodes/<node>``. The key is made only if it is absent or this process's own.

    ``lease_file`` remembers the lease over a kill, so that the next start can end it instead of waiting for it.
    """

    def __init__(
        self, gateway: Gateway, key: str, describe: Callable[[], PresenceDocument], clock: Clock, lease_file: Path
    ) -> None:
        self._gateway = gateway
        self._key = key
        self._describe = describe
        self._clock = clock
        self._lease_file = lease_file
        self._said: PresenceDocument | None = None
        self._incident = ""
        self._own = 0
        """The lease under which this node was announced last. An etcd that was away for longer than the lease gives it
        its time again when it is back."""
        self._keeper = LeaseKeeper(gateway, TTL, self._announce, clock=clock.boottime, sleep=clock.sleep)

    def incidents(self) -> tuple[str, ...]:
        """What stands in the way of being seen."""
        return (self._incident,) if self._incident else ()

    @property
    def deadline(self) -> float:
        """Until when the key lives at least (CLOCK_BOOTTIME); in the past when it does not."""
        return self._keeper.deadline

    async def end_earlier_life(self) -> None:
        """Revokes the lease that an earlier process of this node left."""
        with suppress(OSError, ValueError, CoordinationError):
            self._own = int(json.loads(self._lease_file.read_text()))
            await self._gateway.revoke(self._own, timeout=2)

    async def run(self) -> None:
        """Keeps the lease until cancelled or ``aclose``."""
        await self._keeper.run()

    async def refresh(self) -> None:
        """Writes the key again whenever the description has changed; for ever."""
        while True:
            await self._clock.sleep(REFRESH)
            if (lease := self._keeper.lease) is not None and self._describe() != self._said:
                with suppress(CoordinationError):
                    await self._announce(lease)

    async def aclose(self) -> None:
        """The node leaves: the key vanishes at once."""
        await self._keeper.aclose()

    async def _announce(self, lease: Lease) -> None:
        said = self._describe()
        value = documents.encode(said)
        put = Put(self._key, value, lease.id)
        outcome = await self._gateway.transact([Compare.absent(self._key)], [put], [Get(self._key)])
        if not outcome.succeeded:
            [there] = outcome.results[0] or (None,)
            if there is None:
                raise Unavailable("the presence key vanished while it was looked at")
            if there.lease not in (lease.id, self._own):
                self._incident = "another process is running under this node's identity; stop one of the two"
                log.error("%s", self._incident)
                raise TakenByAnother(self._incident)
            again = await self._gateway.transact([Compare.unchanged(self._key, there.mod_revision)], [put])
            if not again.succeeded:
                raise Unavailable("the presence key changed while it was written")
        self._said, self._incident, self._own = said, "", lease.id
        with suppress(OSError):
            self._lease_file.write_text(json.dumps(lease.id))
