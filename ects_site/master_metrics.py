"""Every metric of a master, by name, and what it answers over HTTP. docs/reference/metrics.md tells of each."""

import asyncio
import json
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from http import HTTPStatus

from django.conf import settings
from django.db import Error, connection

from coordination import exposition
from coordination.connectivity import Connectivity
from coordination.exposition import Registry
from coordination.listener import METRICS, Page, Pages
from coordination.vitals import Vitals
from ects_site import health
from pipelines import outbox

RESYNC = (0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0)
"""Seconds; upper bounds of the histogram's buckets."""

PATIENCE = 3.0
"""Seconds for the database's answer."""

# One: whoever asks while the database hangs waits for the one before, and none of the leader's threads is taken.
_thread = ThreadPoolExecutor(max_workers=1, thread_name_prefix="metrics")


class MasterMetrics:
    """``leases``: seconds that each lease in etcd still lives; ``leads``: whether this master does."""

    def __init__(
        self,
        connectivity: Connectivity,
        *,
        leases: Callable[[], Mapping[str, float]],
        leads: Callable[[], bool],
    ) -> None:
        self._leases = leases
        self._leads = leads
        self._registry = Registry()
        counter, gauge = self._registry.counter, self._registry.gauge
        self._vitals = Vitals(self._registry, "master", settings.VERSION, connectivity)
        self._leader = gauge("ects_master_leader", "1 while this master leads.")
        self.elected = counter("ects_master_elected_total", "Times that this master began to lead.")
        self.epochs = counter("ects_epochs_total", "Epochs begun: etcd was empty, or had gone back in time.")
        self.resync = self._registry.histogram("ects_resync_seconds", "How long a whole resync took.", RESYNC)
        self.repaired = counter("ects_resync_repaired_total", "Keys that a resync brought up to date.")
        self.published = counter("ects_published_total", "Documents and tombstones put into etcd.")
        self._failures = counter("ects_duty_failures_total", "Rounds of a duty that failed.", ["duty"])
        self._database_errors = counter("ects_database_errors_total", "Those of them that the database made fail.")
        self._reached = gauge("ects_database_reached", "1 when the database has answered this scrape.")
        self._pending = gauge("ects_outbox_pending", outbox.PENDING)
        self._oldest = gauge("ects_outbox_oldest_seconds", outbox.OLDEST)

    def begins(self, duty: str) -> None:
        """It is there, and has not failed: the first failure shows as an increase."""
        self._failures.add(0, duty)

    def failed(self, duty: str, error: Exception) -> None:
        """A round of a duty has failed."""
        self._failures.add(1, duty)
        if isinstance(error, Error):
            self._database_errors.add(1)

    @property
    def pages(self) -> Pages:
        """For the listener."""
        return {"/healthz": _alive, "/readyz": self._ready, METRICS: self._scrape}

    async def _ready(self) -> Page:
        answers = await asyncio.get_running_loop().run_in_executor(_thread, health.answers)
        ready = all(answer == "ok" for answer in answers.values())
        body = json.dumps({"ready": ready, "leader": self._leads(), **answers}).encode() + b"\n"
        return Page(body, "application/json", HTTPStatus.OK if ready else HTTPStatus.SERVICE_UNAVAILABLE)

    async def _scrape(self) -> Page:
        waiting: tuple[int, float] | tuple[None, None] = (None, None)
        with suppress(TimeoutError, Error):
            async with asyncio.timeout(PATIENCE):
                waiting = await asyncio.get_running_loop().run_in_executor(_thread, _outbox)
        self._reached.set(waiting[0] is not None)
        self._pending.set(waiting[0])
        self._oldest.set(waiting[1])
        self._leader.set(self._leads())
        self._vitals.read(self._leases())
        return Page(self._registry.render(), exposition.CONTENT_TYPE)


async def _alive() -> Page:
    return Page(b"ok\n")


def _outbox() -> tuple[int, float]:
    try:
        return outbox.waiting()
    finally:
        connection.close()
