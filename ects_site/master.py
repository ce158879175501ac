"""The master: it stands for election, and while it leads it keeps etcd, database and history in step."""

import asyncio
import logging
import os
import signal
import threading
import time
from collections.abc import Awaitable, Callable
from functools import partial
from typing import TypeVar

from django.conf import settings
from django.db import InterfaceError, OperationalError, close_old_connections
from django.utils import timezone
from msgspec import DecodeError

from audit import pruning
from coordination import documents, fires, servicemanager
from coordination.connectivity import Connectivity
from coordination.documents import Presence
from coordination.election import Election
from coordination.errors import CoordinationError
from coordination.fires import Epoch
from coordination.gateway import Compare, Lease, Put
from coordination.leases import LeaseKeeper
from coordination.listener import Listener
from ects_site.environment import env
from ects_site.master_metrics import MasterMetrics
from ects_site.master_options import Announcement
from logs import history, orphans, retention
from pipelines import closing, editions, publishing, tending
from workers import accounts, presence, store

log = logging.getLogger(__name__)

T = TypeVar("T")

PRESENCE_TTL = 10.0
ELECTION_TTL = 5.0
"""Seconds for which a master that has vanished still counts as present, and as the leader."""

RELAY_EVERY = 0.5
TEND_EVERY = 3.0
RESYNC_EVERY = 120.0
CLOSE_EVERY = 5.0
GONE_EVERY = 15.0
PRUNE_EVERY = 3600.0
SWEEP_EVERY = 86400.0
ACCOUNTS_EVERY = 10.0
EPOCH_EVERY = 2.0
"""Seconds between two rounds of each of the leader's duties."""

STOP_WITHIN = 5.0
"""Seconds from SIGTERM to the end, whatever the database is doing."""

FIRST_PAUSE = 0.5
LONGEST_PAUSE = 5.0
"""Seconds before a duty that failed is taken up again: doubled from the first to the longest."""


class Master:
    """One master process."""

    def __init__(self, announcement: Announcement) -> None:
        self._announcement = announcement
        self._id = announcement.node
        self._gateway = store.async_gateway()
        self._keys = store.keys()
        self._election = Election(
            self._gateway, self._keys.election(), self._id, clock=time.monotonic, ttl=ELECTION_TTL
        )
        self._started_at = timezone.now()
        self._stop = asyncio.Event()
        self._resync_now = asyncio.Event()
        self._seen: tuple[bytes, int] | None = None
        """The epoch and etcd's revision when they were last looked at."""
        self._connectivity = Connectivity(time.monotonic)
        self._keeper = LeaseKeeper(
            self._gateway,
            PRESENCE_TTL,
            self._announce,
            clock=time.monotonic,
            on_renewed=lambda sent, ttl: self._connectivity.changed("presence", True),
            on_lost=lambda: self._connectivity.changed("presence", False),
        )
        self._metrics = MasterMetrics(
            self._connectivity, leases=self._leases, leads=lambda: self._election.revision > 0
        )

    async def run(self) -> None:
        """Until SIGTERM or SIGINT; then it resigns."""
        for number in (signal.SIGTERM, signal.SIGINT):
            asyncio.get_running_loop().add_signal_handler(number, self._stop.set)
        self._connectivity.expect("presence")
        duties: dict[str, Callable[[], Awaitable[None]]] = {
            "presence": self._keeper.run,
            "election": partial(self._election.run, self._lead),
        }
        if (listen := self._announcement.listen) is not None:
            listener = Listener(listen, self._metrics.pages, token=settings.ECTS_METRICS_TOKEN)
            duties["health and metrics"] = listener.run
        tasks = [asyncio.create_task(self._keep(name, work)) for name, work in duties.items()]
        tell = servicemanager.teller(os.environ)
        tell("READY=1")
        await self._stop.wait()
        tell("STOPPING=1")
        _leave_within(STOP_WITHIN)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        await self._keeper.aclose()
        await self._gateway.close()

    async def _announce(self, lease: Lease) -> None:
        said = Presence(
            node=self._id,
            name=self._announcement.name,
            description=self._announcement.description,
            host=self._announcement.host,
            port=self._announcement.port,
            mode="master",
            version=settings.VERSION,
            pid=os.getpid(),
            started_at=self._started_at,
        )
        await self._gateway.transact([], [Put(self._keys.node(self._id), documents.encode(said), lease.id)])

    def _leases(self) -> dict[str, float]:
        now = time.monotonic()
        return {"presence": self._keeper.deadline - now, "election": self._election.deadline - now}

    # -- leading ------------------------------------------------------------------------------------------------

    async def _lead(self) -> None:
        """All of the leader's duties side by side; cancelled when the leadership is lost."""
        log.info("leading")
        self._metrics.elected.add(1)
        self._resync_now.set()
        async with asyncio.TaskGroup() as duties:
            for name, work in (
                ("epoch", self._keep_epoch),
                ("relay", self._relay),
                ("shared records", partial(_every, TEND_EVERY, self._tend)),
                ("nodes that are gone", partial(_every, GONE_EVERY, lambda: closing.close(timezone.now()))),
                ("resync", self._resync),
                ("presence of nodes", partial(presence.follow, self._gateway, self._keys)),
                ("untaken runs", partial(_every, CLOSE_EVERY, lambda: history.close_untaken(timezone.now()))),
                ("pruning", partial(_every, PRUNE_EVERY, lambda: retention.prune(timezone.now()))),
                ("pruning of the audit", partial(_every, PRUNE_EVERY, _prune_audit)),
                ("editions", partial(_every, PRUNE_EVERY, lambda: editions.prune(timezone.now()))),
                ("etcd's users", partial(_every, ACCOUNTS_EVERY, accounts.Upkeep().round)),
                ("orphans", partial(_every, SWEEP_EVERY, lambda: orphans.prune(timezone.now()))),
            ):
                duties.create_task(self._keep(name, work))

    async def _keep(self, name: str, work: Callable[[], Awaitable[None]]) -> None:
        """A duty that fails is logged and taken up again."""
        self._metrics.begins(name)
        pause = FIRST_PAUSE
        while True:
            began = time.monotonic()
            try:
                await work()
            except CoordinationError as error:
                log.warning("%s: etcd: %s", name, error)
                self._metrics.failed(name, error)
            except (InterfaceError, OperationalError) as error:
                log.warning("%s: the database: %s", name, error.args[-1])
                self._metrics.failed(name, error)
            except Exception as error:
                log.exception("%s failed", name)
                self._metrics.failed(name, error)
            if time.monotonic() - began > LONGEST_PAUSE * 4:
                pause = FIRST_PAUSE
            await asyncio.sleep(pause)
            pause = min(pause * 2, LONGEST_PAUSE)

    async def _keep_epoch(self) -> None:
        """Makes the epoch when there is none. Another one, or a revision that went back, means that etcd has lost
        what it held: then everything is published again at once."""
        key = self._keys.epoch()
        while True:
            snapshot = await self._gateway.snapshot(key)
            epoch = next((item.value for item in snapshot.items if item.key == key), None)
            has_gone_back = self._seen is not None and snapshot.revision < self._seen[1]
            is_same = self._seen is not None and epoch == self._seen[0]
            if epoch is None or (has_gone_back and is_same) or await _in_thread(partial(_is_void, epoch)):
                await self._make_epoch(epoch)
                self._seen = None if epoch is None else (epoch, snapshot.revision)
                continue
            if self._seen is not None and (has_gone_back or not is_same):
                log.warning("etcd has lost what it held: publishing everything again")
                self._resync_now.set()
            self._seen = (epoch, snapshot.revision)
            log.debug("etcd is at revision %d", snapshot.revision)
            await asyncio.sleep(EPOCH_EVERY)

    async def _make_epoch(self, void: bytes | None) -> None:
        """In the place of none, or of one in which a worker saw etcd go back in time."""
        now, key = timezone.now(), self._keys.epoch()
        first = void is None and not await _in_thread(history.has_any)
        value = fires.encode(Epoch(id=int(now.timestamp() * 1000), created=now, first=first))
        if void is not None:
            log.warning("etcd has gone back in time: beginning a new epoch")
        compare = Compare.absent(key) if void is None else Compare.holds(key, void)
        if (await self._gateway.transact([compare], [Put(key, value)])).succeeded:
            self._metrics.epochs.add(1)

    async def _relay(self) -> None:
        while True:
            self._metrics.published.add(await _in_thread(publishing.relay_pending))
            await asyncio.sleep(RELAY_EVERY)

    def _tend(self) -> None:
        if revision := self._election.revision:
            leadership = Compare(self._keys.election(), "create_revision", "=", revision)
            tending.tend(leadership, timezone.now())

    async def _resync(self) -> None:
        every = env.float("ECTS_RESYNC_SECONDS", default=RESYNC_EVERY)
        while True:
            try:
                async with asyncio.timeout(every):
                    await self._resync_now.wait()
            except TimeoutError:
                log.debug("time for a resync")
            self._resync_now.clear()
            began = time.monotonic()
            try:
                await _in_thread(publishing.publish_config)
                repaired = await _in_thread(publishing.resync)
            except Exception:
                self._resync_now.set()  # it is still due
                raise
            self._metrics.resync.observe(time.monotonic() - began)
            self._metrics.repaired.add(repaired)
            if repaired:
                log.info("resync: %d keys brought up to date", repaired)


def _is_void(value: bytes) -> bool:
    """Unreadable, or a node says that etcd holds less than it did in this epoch."""
    try:
        return presence.saw_void(fires.decode_epoch(value).id)
    except DecodeError:
        return True


def _leave_within(seconds: float) -> None:
    """Ends this process although a thread waits for the database. Nothing is lost: each write to etcd is compared,
    each to the database is a transaction, and the next leader begins with a resync."""

    def leave() -> None:
        log.warning("work in the database does not end: leaving without it")
        os._exit(1)

    timer = threading.Timer(seconds, leave)
    timer.daemon = True
    timer.start()


def _prune_audit() -> None:
    pruning.prune(timezone.now(), settings.ECTS_KEEP_AUDIT_DAYS)


async def _every(seconds: float, work: Callable[[], object]) -> None:
    while True:
        await _in_thread(work)
        await asyncio.sleep(seconds)


async def _in_thread(work: Callable[[], T]) -> T:
    """Database work beside the loop, on a connection that is not stale."""

    def call() -> T:
        close_old_connections()
        try:
            return work()
        finally:
            close_old_connections()

    return await asyncio.to_thread(call)
