"""``/metrics`` in the text format of Prometheus: what the console knows of nodes, outbox and runs, and has counted."""

import logging
import platform
from collections.abc import Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta

from django.conf import settings
from django.core.exceptions import ObjectDoesNotExist
from django.db import Error, connection
from django.db.models import Count, Sum
from django.http import HttpRequest, HttpResponse
from django.utils import timezone
from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.exposition import CONTENT_TYPE_PLAIN_0_0_4
from prometheus_client.metrics_core import GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from coordination.listener import REFUSED, may_read_metrics
from ects_site import web_metrics
from logs.models import Rollup, Run
from logs.rollups import EVERY
from pipelines import outbox
from pipelines.models import Control, Pipeline
from workers.models import Node

log = logging.getLogger(__name__)

HOURS = 24
"""Of which the runs are told."""

PATIENCE = 5.0
"""Seconds for the database's answer. Without one, what the process has counted is told all the same."""

# Bounded: while the database hangs, those who ask do not take the threads of the requests.
_threads = ThreadPoolExecutor(max_workers=2, thread_name_prefix="metrics")


def metrics(request: HttpRequest) -> HttpResponse:
    """200 with the metrics; 403 for whom they are not meant for."""
    if not _may_read(request):
        return HttpResponse(REFUSED, status=403, content_type="text/plain")
    registry = CollectorRegistry(auto_describe=False)
    registry.register(Families([*_own(), *web_metrics.collect(), *_of_database()]))
    return HttpResponse(generate_latest(registry), content_type=CONTENT_TYPE_PLAIN_0_0_4)


def _may_read(request: HttpRequest) -> bool:
    """As ``may_read_metrics`` says, and staff. The session, which is in the database, is looked at last."""
    remote = request.META.get("REMOTE_ADDR", "")
    if may_read_metrics(remote, request.headers, settings.ECTS_METRICS_TOKEN):
        return True
    return bool(request.user.is_authenticated and request.user.is_staff)


class Families(Collector):
    """Metrics that have been collected already."""

    def __init__(self, families: Iterable[Metric]) -> None:
        self._families = list(families)

    def collect(self) -> Iterable[Metric]:
        """All of them."""
        return self._families


def _own() -> Iterator[Metric]:
    labels = ["process", "version", "python"]
    build = GaugeMetricFamily("ects_build_info", "1; what runs here.", labels=labels)
    build.add_metric(["web", settings.VERSION, platform.python_version()], 1)
    yield build


def _of_database() -> Iterator[Metric]:
    """What the database has, if it answers."""
    reading = _threads.submit(_read)
    families: list[Metric] = []
    try:
        families = reading.result(PATIENCE)
    except TimeoutError:
        reading.cancel()
        log.warning("metrics: the database does not answer within %g s", PATIENCE)
    except Error as error:
        log.warning("metrics: the database does not answer: %s", error)
    yield _gauge("ects_database_reached", "1 when the database has answered this scrape.", bool(families))
    yield from families


def _read() -> list[Metric]:
    """Every query goes by an index, whatever the history's size."""
    try:
        paused = _gauge("ects_paused", "1 while everything is paused.", _is_paused())
        return [*_nodes(), *_outbox(), *_runs(), paused]
    finally:
        connection.close()


def _nodes() -> Iterator[Metric]:
    now = timezone.now()
    nodes = list(Node.objects.filter(retired_at=None).order_by("name"))
    for name, text, value in (
        ("online", "1 while the node's lease in etcd lives.", lambda node: node.online),
        ("running", "Runs going or waiting on the node.", lambda node: node.running),
        ("capacity", "Runs that the node has places for.", lambda node: node.capacity),
        ("backlog_records", "Journal records that the node has not delivered.", lambda node: node.backlog),
        ("etcd_connected", "1 while the node is connected to etcd.", lambda node: node.etcd_connected),
        ("draining", "1 while the node takes no new fires.", lambda node: node.draining),
        ("incidents", "What the node says is wrong with it now.", lambda node: len(node.incidents)),
        ("clock_skew_seconds", "The node's clock minus the console's.", lambda node: node.clock_skew),
        (
            "last_seen_seconds",
            "Seconds since the console heard of the node.",
            lambda node: (now - node.last_seen).total_seconds() if node.last_seen else None,
        ),
    ):
        family = GaugeMetricFamily(f"ects_node_{name}", text, labels=["node", "mode"])
        for node in nodes:
            if (found := value(node)) is not None:
                family.add_metric([node.name, node.mode], float(found))
        yield family


def _outbox() -> Iterator[Metric]:
    pending, oldest = outbox.waiting()
    yield _gauge("ects_outbox_pending", outbox.PENDING, pending)
    yield _gauge("ects_outbox_oldest_seconds", outbox.OLDEST, oldest)
    enabled = GaugeMetricFamily("ects_pipelines", "Pipelines.", labels=["enabled"])
    for row in Pipeline.objects.order_by().values("enabled").annotate(count=Count("pk")):
        enabled.add_metric([str(row["enabled"]).lower()], row["count"])
    yield enabled


def _runs() -> Iterator[Metric]:
    yield _gauge("ects_runs_running", "Runs that have no end yet.", Run.objects.filter(state="running").count())
    since = timezone.now() - timedelta(hours=HOURS)
    recent = Rollup.objects.filter(pipeline=EVERY, span=Rollup.Span.HOUR, begins_at__gt=since)
    sums = recent.aggregate(**{state: Sum(state) for state in Run.State.values})
    family = GaugeMetricFamily(f"ects_fires_{HOURS}h", f"Fires due in the last {HOURS} hours.", labels=["state"])
    for state, count in sums.items():
        family.add_metric([state], count or 0)
    yield family


def _is_paused() -> bool:
    try:
        return Control.objects.get().paused
    except ObjectDoesNotExist:
        return False


def _gauge(name: str, text: str, value: float) -> Metric:
    return GaugeMetricFamily(name, text, value)
