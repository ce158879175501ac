"""What a web process counts itself: requests, ingest, and the database's failures. docs/reference/metrics.md tells all.

Under gunicorn each process counts in a file of its own and ``collect`` adds them up; see ``ects_site.web_server``.
"""

import os
from collections.abc import Iterable

from django.dispatch import receiver
from prometheus_client import CollectorRegistry, Counter, Histogram, disable_created_metrics
from prometheus_client.metrics_core import Metric
from prometheus_client.multiprocess import MultiProcessCollector

from logs.signals import batch_answered, records_taken

AREAS = {
    "/api/v1/ingest/": "ingest",
    "/api/v1/enrol/": "enrol",
    "/api/": "api",
    "/admin/": "console",
    "/static/": "static",
    "/healthz": "probe",
    "/readyz": "probe",
    "/metrics": "probe",
}
"""The first that a path begins with tells its area."""

OTHER = "other"

CLASSES = ("1xx", "2xx", "3xx", "4xx", "5xx")

LATENCY = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0)
LAG = (0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0, 300.0, 3600.0)
"""Seconds; upper bounds of the histograms' buckets."""

disable_created_metrics()
_registry = CollectorRegistry(auto_describe=False)
_REQUESTS = Counter(
    "ects_http_requests_total", "Requests by area and class of answer.", ["area", "status"], registry=_registry
)
_LATENCY = Histogram(
    "ects_http_request_seconds", "Until the answer begins.", ["area"], buckets=LATENCY, registry=_registry
)
_BATCHES = Counter(
    "ects_ingest_batches_total", "Batches of workers' records, by what became of them.", ["result"], registry=_registry
)
_RECORDS = Counter("ects_ingest_records_total", "Records taken, each once.", registry=_registry)
_ANSWERING = Histogram("ects_ingest_seconds", "Taking one batch.", buckets=LATENCY, registry=_registry)
_LAG = Histogram(
    "ects_ingest_lag_seconds", "From the end of a run to its arrival: the oldest of a batch.", buckets=LAG,
    registry=_registry,
)  # fmt: skip
_DATABASE_ERRORS = Counter("ects_database_errors_total", "Requests that the database made fail.", registry=_registry)

# They show from the beginning on, so that their first increase shows as one.
for _area in {*AREAS.values(), OTHER}:
    _LATENCY.labels(_area)
    for _class in CLASSES:
        _REQUESTS.labels(_area, _class)
for _result in ("taken", "refused"):
    _BATCHES.labels(_result)


def collect() -> Iterable[Metric]:
    """Of all processes of this gunicorn; outside of it, of this process."""
    if "PROMETHEUS_MULTIPROC_DIR" in os.environ:
        return MultiProcessCollector(None).collect()
    return _registry.collect()


def requested(path: str, status: int, seconds: float) -> None:
    """A request was answered."""
    area = next((area for prefix, area in AREAS.items() if path.startswith(prefix)), OTHER)
    _REQUESTS.labels(area, f"{status // 100}xx").inc()
    _LATENCY.labels(area).observe(seconds)


def database_failed() -> None:
    """A request failed for the database's sake."""
    _DATABASE_ERRORS.inc()


@receiver(batch_answered)
def _batch_answered(sender: object, refused: bool, seconds: float, **more: object) -> None:
    _BATCHES.labels("refused" if refused else "taken").inc()
    _ANSWERING.observe(seconds)


@receiver(records_taken)
def _records_taken(sender: object, records: int, lag: float | None, **more: object) -> None:
    _RECORDS.inc(records)
    if lag is not None:
        _LAG.observe(max(lag, 0.0))
