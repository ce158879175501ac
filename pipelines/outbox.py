"""The outbox: what etcd should hold, written in the transaction that changes the definitions. Database only.

Marking bumps the generation of a pipeline and says for every node concerned what it should hold: the pipeline's
document, or an order to forget it. ``pipelines.publishing`` carries it out.
"""

import logging
import time
from collections import defaultdict
from collections.abc import Iterable, Mapping
from datetime import datetime
from typing import Any, Literal
from uuid import UUID

from django.db import transaction
from django.db.models import Count, Exists, F, Min, OuterRef, Q, QuerySet
from django.utils.timezone import now

from coordination.records import AppliedRecord
from logs.models import Run
from pipelines.models import Binding, Control, LostEdit, Pipeline, Publication, Step
from workers.models import Node

log = logging.getLogger(__name__)

Removal = Literal["deleted", "disabled", "unbound"]

PENDING = "Changes that etcd does not hold yet."
OLDEST = "Age of the oldest of them in seconds; 0 when there is none."
"""What the metrics of ``waiting`` say of themselves."""

MARK_AT_ONCE = 500
"""Pipelines marked by one set of queries; databases limit the length of a list of ids."""


def mark(pipelines: Iterable[UUID], floor: int = 0, *, retimed: bool = False) -> None:
    """Says that these pipelines have to be published anew, with a generation above ``floor``.

    ``retimed``: the change gives them other instants, of which those that have passed are nobody's to catch up.

    To be called in the transaction of the change. The pipelines' rows stay locked until it ends, in the order of
    their ids, so that transactions that mark several never wait for each other in a circle.
    """
    ids = sorted(set(pipelines))
    for start in range(0, len(ids), MARK_AT_ONCE):
        with transaction.atomic():
            part = ids[start : start + MARK_AT_ONCE]
            _mark(part, floor)
            if retimed:
                Pipeline.objects.filter(pk__in=part, not_before__lt=now()).update_quietly(not_before=now())


def lock(pipelines: Iterable[UUID]) -> list[Pipeline]:
    """Locks the pipelines' rows until the end of the transaction, in the order of their ids."""
    rows = Pipeline.objects.select_for_update().filter(pk__in=list(pipelines)).order_by("pk")
    return list(rows.only("generation", "enabled"))


def mark_deleted(pipeline: UUID, generation: int) -> None:
    """Every node is to forget the pipeline, which had this generation when it was deleted."""
    rows = _locked(Publication.objects.filter(pipeline=pipeline))
    highest = max([generation, *(max(row.wanted, row.applied) for row in rows)])
    _want(Publication.objects.filter(pipeline=pipeline), next_generation(highest), "deleted")


def mark_unknown(pipeline: UUID, node: UUID, generation: int, name: str = "") -> None:
    """A node holds, at this generation, a pipeline of which the outbox knows nothing (the database was restored from
    a backup): publish it anew if the node should hold it, else order the node to forget it. ``name``: as the node knows
    the pipeline, which is then told of as lost; empty when it has forgotten it already."""
    with transaction.atomic():
        exists = bool(lock([pipeline]))
        mark([pipeline], floor=generation)
        if not exists and name:
            _tell_lost(pipeline, generation, name)
        wanted, removal = next_generation(generation), "unbound" if exists else "deleted"
        Publication.objects.get_or_create(pipeline=pipeline, node=node, defaults={"wanted": wanted, "removal": removal})


def next_generation(previous: int) -> int:
    """Unix milliseconds, or one more than the previous generation when that is ahead of the clock."""
    return max(previous + 1, time.time_ns() // 1_000_000)


def applied(node: UUID, records: Iterable[AppliedRecord]) -> None:
    """Takes in what a node acts on now. A generation the database has not reached means that the database is older
    than the node (restored from a backup): the outbox steps past it."""
    newest: dict[UUID, AppliedRecord] = {}
    for record in records:
        try:
            pipeline = UUID(record.pipeline)
        except ValueError:
            log.warning("node %s reports a pipeline %.50r, which is no id", node, record.pipeline)
            continue
        if pipeline not in newest or record.generation > newest[pipeline].generation:
            newest[pipeline] = record
    known = Publication.objects.filter(node=node, pipeline__in=newest).order_by("pk")
    for row in known:
        _applied(row, newest.pop(row.pipeline))
    for pipeline, record in newest.items():
        if not record.removed:
            mark_unknown(pipeline, node, record.generation, str(pipeline))


def step_past(row: Publication, generation: int) -> None:
    """Wants a newer generation than one that was found in etcd or on a node, if that is ahead of the row."""
    if generation <= row.wanted:
        return
    if row.removal:
        _tell_lost(row.pipeline, generation, str(row.pipeline))
        _want(Publication.objects.filter(pk=row.pk, wanted=row.wanted), next_generation(generation), row.removal)
    else:
        mark([row.pipeline], floor=generation)


def set_paused(paused: bool) -> Control:
    """The global pause switch. Changing nothing publishes nothing."""
    with transaction.atomic():
        control, _ = Control.objects.select_for_update().get_or_create(pk=1)
        if control.paused != paused or not control.generation:
            control.paused = paused
            control.generation = next_generation(control.generation)
            control.save()
    return control


def waiting() -> tuple[int, float]:
    """How many rows etcd does not hold as they are wanted, and for how many seconds the oldest of them has waited."""
    rows = Publication.objects.filter(pending=True, published__lt=F("wanted"))
    found = rows.aggregate(rows=Count("pk"), oldest=Min("wanted_at"))
    oldest = found["oldest"]
    return found["rows"], max((now() - oldest).total_seconds(), 0.0) if oldest else 0.0


def unpublished(pipelines: Iterable[UUID]) -> QuerySet[Publication]:
    """Rows of these pipelines that etcd does not show yet."""
    return Publication.objects.filter(pipeline__in=list(pipelines), published__lt=F("wanted"))


def targets(pipelines: Iterable[UUID]) -> dict[UUID, set[UUID]]:
    """The nodes that should hold each pipeline; none for one that is not enabled or has no steps."""
    active = Pipeline.objects.filter(pk__in=list(pipelines), enabled=True)
    return bound_nodes(active.filter(Exists(Step.objects.filter(pipeline=OuterRef("pk")))))


def bound_nodes(pipelines: QuerySet[Pipeline]) -> dict[UUID, set[UUID]]:
    """The nodes that each pipeline is bound to, by name or by labels."""
    labels = dict(pipelines.values_list("pk", "node_labels"))
    result: dict[UUID, set[UUID]] = {pipeline: set() for pipeline in labels}
    for pipeline, node in Binding.objects.filter(pipeline__in=list(labels)).values_list("pipeline", "node"):
        result[pipeline].add(node)
    if any(labels.values()):
        workers = list(Node.objects.serving().values_list("pk", "labels"))
        for pipeline, wanted in labels.items():
            result[pipeline].update(node for node, has in workers if matches(wanted, has))
    return result


def concerned_by(node: Node) -> set[UUID]:
    """Pipelines that the node holds, or is to hold by its labels."""
    held = set(Publication.objects.filter(node=node.pk, removal="").values_list("pipeline", flat=True))
    labels = Pipeline.objects.filter(enabled=True).exclude(node_labels={}).values_list("pk", "node_labels")
    return held | {pipeline for pipeline, wanted in labels if matches(wanted, node.labels)}


def matches(wanted: Mapping[str, str], labels: Mapping[str, str]) -> bool:
    """Whether a node with ``labels`` is bound by the labels that a pipeline asks for (none: no node)."""
    return bool(wanted) and all(labels.get(name) == value for name, value in wanted.items())


def _mark(ids: list[UUID], floor: int) -> None:
    locked = lock(ids)
    rows: dict[UUID, dict[UUID, Publication]] = defaultdict(dict)
    for row in _locked(Publication.objects.filter(pipeline__in=ids)):
        rows[row.pipeline][row.node] = row
    wanted_nodes = targets(pipeline.pk for pipeline in locked)
    generations: dict[int, list[UUID]] = defaultdict(list)
    fresh: list[Publication] = []
    fresh_start: list[UUID] = []
    for pipeline in locked:
        known, nodes = rows[pipeline.pk], wanted_nodes.get(pipeline.pk, set())
        reached = max([pipeline.generation, *(row.wanted for row in known.values())])
        generation = next_generation(max([floor, reached, *(row.applied for row in known.values())]))
        if floor > reached:
            _tell_lost(pipeline.pk, floor, str(pipeline.pk))
        generations[generation].append(pipeline.pk)
        fresh += [Publication(pipeline=pipeline.pk, node=node, wanted=generation) for node in nodes - known.keys()]
        _want_all(known, nodes, generation, "unbound" if nodes else "disabled")
        if nodes and not any(not row.removal for row in known.values()):
            fresh_start.append(pipeline.pk)
    for generation, members in generations.items():
        Pipeline.objects.filter(pk__in=members).update_quietly(generation=generation)
    Publication.objects.bulk_create(fresh)
    # While no node held it, nobody was to fire it: a node that does now catches up nothing of that time. (For a
    # pipeline that every node fires by itself the rows say so, each for its own node.)
    shared = Pipeline.objects.filter(pk__in=fresh_start).exclude(placement=Pipeline.Placement.EVERY)
    shared.filter(not_before__lt=now()).update_quietly(not_before=now())


def _tell_lost(pipeline: UUID, generation: int, name: str) -> None:
    """Somebody holds what this database does not: it is older (restored from a backup), and its state is published.
    ``name`` is that of a pipeline which is not in the database."""
    own = Pipeline.objects.filter(pk=pipeline).values_list("name", flat=True).first()
    ran = Run.objects.filter(pipeline=pipeline).order_by("-id").values_list("pipeline_name", flat=True).first()
    name = own or ran or name
    edit, is_new = LostEdit.objects.get_or_create(
        pipeline=pipeline, generation=generation, defaults={"pipeline_name": name}
    )
    if is_new:
        log.warning("a change of pipeline %s made at %s is not in the database, and is undone", name, edit.made_at)


def _locked(rows: QuerySet[Publication]) -> list[Publication]:
    """Locked in the order of their primary keys, in which the relay's updates lock them too."""
    ids = list(rows.values_list("pk", flat=True))
    return list(Publication.objects.select_for_update().filter(pk__in=ids).order_by("pk"))


def _want_all(known: Mapping[UUID, Publication], nodes: set[UUID], generation: int, removal: Removal) -> None:
    """The rows that exist: held on, bound again, or to be forgotten. Who is to forget already stays so."""
    held = [row.pk for node, row in known.items() if node in nodes and not row.removal]
    again = [row.pk for node, row in known.items() if node in nodes and row.removal]
    leaving = [row.pk for node, row in known.items() if node not in nodes and not row.removal]
    _want(Publication.objects.filter(pk__in=held), generation, "")
    _want(Publication.objects.filter(pk__in=again), generation, "", not_before=now())
    _want(Publication.objects.filter(pk__in=leaving), generation, removal)


def _want(rows: QuerySet[Publication], generation: int, removal: str, **more: datetime) -> None:
    values: dict[str, Any] = {"wanted": generation, "removal": removal, "wanted_at": now(), **more}
    rows.update(pending=True, error="", attempts=0, retry_at=None, **values)


def _applied(row: Publication, record: AppliedRecord) -> None:
    """A removal that the node has carried out is pending again: its tombstone can be tidied away."""
    rows = Publication.objects.filter(pk=row.pk)
    rows.filter(applied__lt=record.generation).update(applied=record.generation)
    step_past(row, record.generation)
    done = Q(wanted__lte=record.generation) & ~Q(removal="")
    if record.removed:
        rows.filter(done).update(pending=True, retry_at=None)
