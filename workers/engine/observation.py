"""What a worker says of itself over HTTP: alive, ready, and its metrics."""

import asyncio
import json
from collections.abc import Callable, Mapping
from contextlib import suppress
from http import HTTPStatus

from coordination import exposition
from coordination.connectivity import Connectivity
from coordination.listener import METRICS, Page, Pages
from coordination.records import NodeReport
from coordination.vitals import Vitals
from workers.engine.capacity import Capacity
from workers.engine.clock import Clock
from workers.engine.journal import Journal
from workers.engine.metrics import Metrics
from workers.engine.shipper import Shipper

PATIENCE = 2.0
"""Seconds for the journal's answer; its thread may wait for a disk."""

Leases = Callable[[], Mapping[str, float]]
"""Until when each lease in etcd lives, in seconds of CLOCK_BOOTTIME."""


class Observation:
    """``report`` says how the node is; ``started``: whether it fires yet."""

    def __init__(
        self,
        metrics: Metrics,
        version: str,
        *,
        clock: Clock,
        journal: Journal,
        capacity: Capacity,
        shipper: Shipper,
        connectivity: Connectivity,
        report: Callable[[], NodeReport],
        leases: Leases,
        started: Callable[[], bool],
    ) -> None:
        self._metrics = metrics
        self._vitals = Vitals(metrics.registry, "worker", version, connectivity)
        self._clock = clock
        self._journal = journal
        self._capacity = capacity
        self._shipper = shipper
        self._connectivity = connectivity
        self._report = report
        self._leases = leases
        self._started = started

    @property
    def pages(self) -> Pages:
        """For the listener."""
        return {"/healthz": self._alive, "/readyz": self._ready, METRICS: self._scrape}

    async def _alive(self) -> Page:
        return Page(b"ok\n")

    async def _ready(self) -> Page:
        troubles = self._troubles()
        ready = not any(troubles.values())
        body = json.dumps({"ready": ready, **{part: trouble or "ok" for part, trouble in troubles.items()}}) + "\n"
        status = HTTPStatus.OK if ready else HTTPStatus.SERVICE_UNAVAILABLE
        return Page(body.encode(), "application/json", status)

    def _troubles(self) -> dict[str, str]:
        """What keeps it from doing all that it should, by part; empty sentences where nothing does."""
        return {
            "worker": "" if self._started() else "it does not fire yet, or not any more",
            "etcd": "" if self._connectivity.is_connected else "not connected: fires what it knows, and claims nothing",
            "journal": self._journal.trouble,
            "console": "; ".join(self._shipper.incidents()),
        }

    async def _scrape(self) -> Page:
        await self._look_at_journal()
        self._look()
        return Page(self._metrics.registry.render(), exposition.CONTENT_TYPE)

    def _look(self) -> None:
        metrics, shipper, report = self._metrics, self._shipper, self._report()
        now = self._clock.boottime()
        self._vitals.read({name: deadline - now for name, deadline in self._leases().items()})
        metrics.ready.set(not any(self._troubles().values()))
        metrics.running.set(self._capacity.running)
        metrics.waiting.set(self._capacity.waiting)
        metrics.capacity.set(self._capacity.limit)
        metrics.draining.set(report.draining)
        metrics.incidents.set(len(report.incidents))
        metrics.skew.set(shipper.skew)
        metrics.delivered.reach(shipper.delivered)
        metrics.set_aside.reach(shipper.set_aside)
        metrics.failures.reach(shipper.failures)
        metrics.reached.set(not shipper.incidents())
        metrics.restarts.reach(self._connectivity.restarts)

    async def _look_at_journal(self) -> None:
        metrics, backlog = self._metrics, self._journal.backlog()
        metrics.backlog_records.set(backlog.records)
        metrics.backlog_bytes.set(backlog.bytes)
        metrics.writable.set(not self._journal.is_in_need)
        metrics.backlog_age.set(None)  # while the journal does not answer
        with suppress(TimeoutError, OSError):
            async with asyncio.timeout(PATIENCE):
                oldest = await self._journal.oldest()
            age = (self._clock.now() - oldest).total_seconds() if oldest else 0.0
            metrics.backlog_age.set(max(age, 0.0))
