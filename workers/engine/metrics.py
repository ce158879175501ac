"""Every metric of a worker, by name. docs/reference/metrics.md tells of each."""

from datetime import datetime

from coordination.exposition import Registry
from coordination.records import TERMINAL, Record, RefusedRecord, RunRecord
from workers.engine.context import RunSpec

LATENESS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0)
"""Seconds; upper bounds of the histogram's buckets."""


class Metrics:
    """What is counted as it happens has a method here; what is looked at when somebody asks is set by ``Observation``.

    No label names a pipeline: there may be a hundred thousand.
    """

    def __init__(self) -> None:
        self.registry = Registry()
        counter, gauge = self.registry.counter, self.registry.gauge
        self._fires = counter("ects_fires_total", "Fires by how they ended.", ["outcome"], sorted(TERMINAL))
        self._lateness = self.registry.histogram(
            "ects_fire_lateness_seconds", "From the scheduled instant to the start of its first work.", LATENESS
        )
        self._claims = counter(
            "ects_claims_total", "Claims of fires that one node alone may run.", ["result"], ["won", "lost"]
        )
        self._refused = counter(
            "ects_documents_refused_total", "Documents and commands in etcd that were not accepted."
        )
        self.ready = gauge("ects_worker_ready", "1 while /readyz answers 200.")
        self.running = gauge("ects_worker_running", "Runs that have a place.")
        self.waiting = gauge("ects_worker_waiting", "Runs that wait for a place.")
        self.capacity = gauge("ects_worker_capacity", "Places for runs.")
        self.draining = gauge("ects_worker_draining", "1 while no new fires are taken.")
        self.incidents = gauge("ects_worker_incidents", "What is wrong now, in number; the node's page has the words.")
        self.skew = gauge("ects_clock_skew_seconds", "This clock minus the console's.")
        self.backlog_records = gauge("ects_journal_backlog_records", "Records that are not delivered yet.")
        self.backlog_bytes = gauge("ects_journal_backlog_bytes", "Their size.")
        self.backlog_age = gauge("ects_journal_oldest_seconds", "Age of the oldest of them; 0 when all is delivered.")
        self.writable = gauge("ects_journal_writable", "1 while the journal can be written.")
        self.delivered = counter("ects_delivered_records_total", "Records that the console has taken.")
        self.set_aside = counter("ects_set_aside_records_total", "Records that the console refused.")
        self.failures = counter(
            "ects_delivery_failures_total", "Batches that did not get through; each is tried again."
        )
        self.reached = gauge("ects_console_reached", "1 when the last batch got through.")
        self.restarts = counter("ects_watch_restarts_total", "Watches on etcd that had to be begun again.")

    def recorded(self, record: Record) -> None:
        """The journal has taken it."""
        if isinstance(record, RefusedRecord):
            self._refused.add(1)
        elif isinstance(record, RunRecord) and record.state in TERMINAL:
            self._fires.add(record.count, record.state)

    def claimed(self, granted: bool) -> None:
        """A claim was answered."""
        self._claims.add(1, "won" if granted else "lost")

    def begun(self, run: RunSpec, at: datetime) -> None:
        """The work of a run begins."""
        if run.trigger == "schedule":
            self._lateness.observe((at - run.scheduled_at).total_seconds())
