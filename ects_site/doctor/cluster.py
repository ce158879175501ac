"""The other processes: masters and workers, as they have reported."""

from collections.abc import Iterator

from django.conf import settings
from django.db.models import Sum
from django.utils import timezone

from coordination import documents
from coordination.finding import Finding, fail, ok, warn
from logs.models import Stream
from workers import store
from workers.models import Node, Refusal

TIMEOUT = 3.0
"""Seconds for etcd's answer."""

MUCH_SKEW = 2.0
"""Seconds of difference between clocks, above which a node makes no shared claims."""

MUCH_BACKLOG = 10_000
"""Records that a node has not delivered."""


def check_masters() -> Iterator[Finding]:
    """Findings on masters. By etcd's word: the table of nodes is kept by the leading master."""
    gateway, keys = store.sync_gateway(), store.keys()
    present = [documents.decode_presence(item.value) for item in gateway.snapshot(keys.nodes(), timeout=TIMEOUT).items]
    masters = sorted(said.name for said in present if said.mode == "master")
    if not masters:
        words = "none is running: nothing is published again, closed or pruned, and what follows may be outdated"
        yield fail("masters", words, "Start manage.py runmaster.")
    elif gateway.get(keys.election(), timeout=TIMEOUT) is None:
        yield fail("masters", f"none of {', '.join(masters)} leads", "Wait some seconds; then see their logs.")
    else:
        yield ok("masters", ", ".join(masters))


def check_workers() -> Iterator[Finding]:
    """Findings on each worker."""
    workers = list(Node.objects.serving().order_by("name"))
    if not workers:
        yield warn("workers", "no host has joined", "Nodes, Add a node: it gives the line to paste on the host.")
    for node in workers:
        yield from _worker(node)


def _advice(node: Node) -> str:
    away = f"Start it on {node.host or 'its host'}, or retire the node."
    if settings.ECTS_ETCD.is_local:
        away += " If it runs on another host: this console's etcd listens here only, see ECTS_ETCD_ENDPOINTS."
    return away


def _worker(node: Node) -> Iterator[Finding]:
    subject = f"worker {node.name}"
    if node.is_revoked:
        words = "its token was revoked: the console takes nothing from it; what it runs meanwhile is kept there"
        yield fail(subject, words, "Let it join again on the node's page (runworker --rejoin), or retire it.")
        return
    if not node.online:
        since = f"since {node.last_seen:%Y-%m-%d %H:%M:%S} UTC" if node.last_seen else "and has never been seen"
        yield warn(subject, f"is offline {since}", _advice(node))
        return
    seen = f"{(timezone.now() - node.last_seen).total_seconds():.0f} s ago" if node.last_seen else "never"
    yield ok(subject, f"online, version {node.version or 'unknown'}, seen {seen}, {node.running} runs going")
    if node.clock_skew is not None and abs(node.clock_skew) > MUCH_SKEW:
        words = f"its clock is {abs(node.clock_skew):.1f} s {'ahead' if node.clock_skew > 0 else 'behind'}"
        yield fail(subject, f"{words}: it fires at the wrong time and claims nothing shared", "Run NTP on that host.")
    if node.version and node.version != settings.VERSION:
        words = f"is of version {node.version}, the console of {settings.VERSION}"
        yield warn(subject, words, "One version apart is meant for the time of an upgrade: bring both to the same.")
    if node.capacity and node.running >= node.capacity:
        advice = "A larger --capacity, or fewer pipelines at the same time; what is over waits."
        yield warn(subject, f"all of its {node.capacity} places are in use", advice)
    if not node.etcd_connected:
        advice = "Can that host reach the endpoints of etcd? It goes on firing what it knows meanwhile."
        yield warn(subject, "is not connected to etcd", advice)
    if node.backlog > MUCH_BACKLOG:
        advice = "Is the console slow, or has it been down? See its log."
        yield warn(subject, f"has {node.backlog} records to deliver", advice)
    for incident in node.incidents:
        yield warn(subject, str(incident), f"See the log of the worker on {node.host or 'its host'}.")
    lost = Stream.objects.filter(node=node.pk).aggregate(lost=Sum("lost"))["lost"]
    if lost:
        advice = "The worker's log and the console's say which and why (disk full, too long undelivered, refused)."
        yield warn(subject, f"{lost} of its records were lost or refused on their way", advice)
    if refused := Refusal.objects.filter(node=node).count():
        yield warn(subject, f"refused {refused} documents or commands", "See the node's page for each and why.")
