"""Why a fire that was expected has no row in the ledger: what stands between the definition and the node's word."""

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime, timedelta

from django.utils.translation import gettext as _

from coordination import fires
from coordination.errors import CoordinationError
from coordination.fires import FireRecord
from logs.reasons import localized
from pipelines import closing
from pipelines.explaining.answer import Answer, Verdict, lasted, shown
from pipelines.models import Control, Pipeline, Publication
from workers import store
from workers.models import Node, Refusal

DELIVERY = timedelta(seconds=30)
"""A word may take so long from a worker to the ledger, without anything being wrong."""

TIMEOUT = 2.0
"""Seconds for etcd's answer."""


@dataclass(frozen=True, slots=True)
class Case:
    """One instant of a pipeline, expected, without a row."""

    pipeline: Pipeline
    at: datetime
    now: datetime

    def told(self, instant: datetime) -> str:
        """An instant in words."""
        return shown(instant, self.pipeline.timezone)

    @property
    def ago(self) -> timedelta:
        return self.now - self.at


def of_node(case: Case, node: Node) -> Answer:
    """For a pipeline that fires on every bound node."""
    row = Publication.objects.filter(pipeline=case.pipeline.pk, node=node.pk).first()
    if row is None or row.removal:
        return Answer(node.name, "not expected", (_("The pipeline is not bound to this node (any more)."),))
    since = max(row.not_before, case.pipeline.not_before)
    if since >= case.at:
        text = _("Nothing from before %(at)s is caught up: then it was bound, enabled, resumed or edited.")
        return Answer(node.name, "not expected", (text % {"at": case.told(since)},))
    hindrances = (*_paused(case), *_unpublished(case, row), *_of_node(case, node))
    return _sum_up(case, node.name, hindrances)


def of_all(case: Case) -> Answer:
    """For a shared pipeline."""
    if case.pipeline.not_before >= case.at:
        text = _("Nothing from before %(at)s is caught up: then it was enabled, resumed, edited or placed anew.")
        return Answer("", "not expected", (text % {"at": case.told(case.pipeline.not_before)},))
    rows = Publication.objects.filter(pipeline=case.pipeline.pk, removal="")
    nodes = Node.objects.filter(pk__in=[row.node for row in rows]).order_by("name")
    hindrances = [*_paused(case), *_recorded(case)]
    alive = [node.name for node in nodes if node.online]
    if alive:
        hindrances.append(_("Bound nodes that are online: %(names)s.") % {"names": ", ".join(alive)})
    else:
        hindrances.append(_("No bound node is online: nobody can claim it."))
    return _sum_up(case, "", tuple(hindrances))


def _sum_up(case: Case, node: str, hindrances: tuple[str, ...]) -> Answer:
    if case.at > case.now:
        due = _("It is due in %(time)s.") % {"time": lasted(-case.ago.total_seconds())}
        return Answer(node, "pending", (due, *hindrances))
    if case.ago < DELIVERY:
        fresh = _("It was due %(time)s ago; the worker's word may be on its way.")
        return Answer(node, "pending", (fresh % {"time": lasted(case.ago.total_seconds())}, *hindrances))
    verdict: Verdict = "unknown"
    text = _("It was expected, and the ledger has no word of it yet.")
    return Answer(node, verdict, (text, *(hindrances or (_("Nothing that stands in its way is known."),))))


def _paused(case: Case) -> Iterator[str]:
    if case.pipeline.paused:
        yield _("The pipeline is paused: its fires are skipped.")
    if Control.objects.filter(paused=True).exists():
        yield _("Everything is paused: fires are skipped.")


def _unpublished(case: Case, row: Publication) -> Iterator[str]:
    if row.published < row.wanted:
        text = _("Its newest change (%(at)s) is not in etcd yet: %(error)s.")
        yield text % {"at": case.told(row.wanted_at), "error": row.error or _("it is about to be put there")}
    elif row.applied < row.wanted:
        yield _("The node has not confirmed the newest change, which has been in etcd since %(at)s.") % {
            "at": case.told(row.wanted_at)
        }
    key = store.keys().pipeline(str(row.node), str(row.pipeline))
    for refusal in Refusal.objects.filter(node=row.node, key=key):
        yield _("The node refused its document at %(at)s: %(reason)s.") % {
            "at": case.told(refusal.at),
            "reason": refusal.reason.rstrip("."),
        }


def _of_node(case: Case, node: Node) -> Iterator[str]:
    if node.last_seen is None:
        yield _("No worker has joined as this node yet.")
        return
    if closing.is_gone(node, case.now):
        yield _("Nothing has been heard of the node since %(at)s.") % {"at": case.told(node.last_seen)}
    elif not node.online:
        yield _("The node is offline since about %(at)s; it may go on firing, and tell later.") % {
            "at": case.told(node.last_seen)
        }
    if node.backlog and case.ago > timedelta():
        yield _("The node has %(count)d records to deliver: its word may be among them.") % {"count": node.backlog}
    if node.drain_asked_at is not None:
        yield _("The node is to drain since %(at)s: it begins nothing new until it is undrained.") % {
            "at": case.told(node.drain_asked_at)
        }
    elif node.draining:
        yield _("The worker is stopping: it begins nothing new.")
    for incident in node.incidents:
        yield _("The node says: %(incident)s.") % {"incident": str(incident).rstrip(".")}


def _recorded(case: Case) -> Iterator[str]:
    try:
        item = store.sync_gateway().get(store.keys().fires(str(case.pipeline.pk)), timeout=TIMEOUT)
    except CoordinationError as error:
        yield _("etcd cannot be asked, and without it nobody can claim a fire: %(error)s.") % {"error": error}
        return
    record = fires.seen(item).record
    if record is None:
        yield _("etcd has no record of its fires yet: no node has taken it up.")
        return
    yield from _of_record(case, record)


def _of_record(case: Case, record: FireRecord) -> Iterator[str]:
    names = {str(pk): name for pk, name in Node.objects.values_list("pk", "name")}
    for run in record.runs:
        if run.instant == case.at:
            yield _("By the record in etcd %(node)s is running it (attempt %(attempt)d).") % {
                "node": names.get(run.node, run.node),
                "attempt": run.attempt,
            }
    for entry in record.recent:
        if entry.instant <= case.at <= (entry.until or entry.instant):
            yield _("By the record in etcd it ended as %(state)s on %(node)s: %(reason)s.") % {
                "state": entry.state,
                "node": names.get(entry.node, _("no node")),
                "reason": localized(entry.reason) or _("no reason is given"),
            }
    if case.at in record.open:
        yield _("By the record in etcd it is open: it waits until a node claims it.")
    elif record.mark < case.at <= case.now:
        yield _("By the record in etcd nobody has looked at instants after %(mark)s yet.") % {
            "mark": case.told(record.mark)
        }
