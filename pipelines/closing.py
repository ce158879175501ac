"""What the leading master does for the ledger of nodes that are gone: it closes what they were running, and writes what
they should have fired, one row for each stretch, until they are back and speak for themselves.

Only pipelines that fire on every bound node: for the shared ones see ``tending``.
"""

import logging
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime, timedelta
from uuid import UUID

from django.conf import settings

from logs import gaps, history
from logs.models import Run
from pipelines.models import Pipeline, Publication
from pipelines.schedules import schedule_of
from workers.engine.schedule import Schedule
from workers.models import Node

log = logging.getLogger(__name__)

CHUNK = 5_000
"""Instants of one gap in one round; what is left comes in the next."""

ROUND = 50_000
"""Instants of all gaps in about one round, and pipelines looked at."""

LEAST_GRACE = timedelta(seconds=60)
"""A fire is waited for as long as this, or as long as the pipeline's misfire grace."""


@dataclass(frozen=True, slots=True)
class _Duty:
    """A pipeline that a node which is gone should fire. ``since``: before, nothing was expected of it."""

    pipeline: Pipeline
    node: Node
    schedule: Schedule
    since: datetime


def close(now: datetime) -> int:
    """One round; how many rows were written."""
    gone = {node.pk: node for node in Node.objects.serving() if is_gone(node, now)}
    retired = Node.objects.exclude(retired_at=None).values_list("pk", flat=True)
    written = _settle([*gone, *retired], now)
    for node in gone.values():
        assert node.last_seen is not None
        written += _lose_runs(node, why(node), node.last_seen)
    return written + _extend(gone, now)


def retire(node: Node, now: datetime) -> int:
    """The last entries for a node that is taken out of service, while it is still bound; how many rows were written."""
    reason = f"the node was retired at {now:%Y-%m-%d %H:%M:%S} UTC; what it had not delivered is left on its host"
    written = _lose_runs(node, reason, now)
    for duty in _duties({node.pk: node}):
        instants = duty.schedule.between(max(duty.since, _answered(duty)), now, CHUNK)
        if instants:
            written += 1
            gaps.begin(duty.pipeline.pk, duty.pipeline.name, node.pk, node.name, instants, reason)
    return written


def is_gone(node: Node, now: datetime) -> bool:
    """Neither etcd nor the console has heard of it for long; a node that never joined cannot go."""
    patience = timedelta(seconds=settings.ECTS_NODE_GONE_SECONDS)
    return not node.online and node.last_seen is not None and node.last_seen < now - patience


def why(node: Node) -> str:
    """The reason in the ledger."""
    assert node.last_seen is not None
    return f"the node was gone: nothing has been heard of it since {node.last_seen:%Y-%m-%d %H:%M:%S} UTC"


def _lose_runs(node: Node, reason: str, at: datetime) -> int:
    """What it was running, as far as the ledger knows. Its own word, should it come, replaces this."""
    going = Run.objects.filter(state=Run.State.RUNNING, node=node.pk, provisional=False, shared=False)
    runs = list(going.values_list("uuid", flat=True)[:ROUND])
    if runs:
        log.warning("%d runs of %s are lost: %s", len(runs), node.name, reason)
        history.close_lost(runs, reason, at)
    return len(runs)


def _settle(gone: Iterable[UUID], now: datetime) -> int:
    """Gaps of nodes that are back end before the first instant that the worker speaks of: from there on it speaks of
    every one."""
    settled = 0
    for gap in gaps.open_gaps().exclude(node__in=list(gone)):
        answer = gaps.first_answer(gap)
        if answer is None:
            continue
        if answer.scheduled_at <= gap.scheduled_at:
            gaps.resize(gap, 0, gap.scheduled_at, gap.reason)
        elif answer.scheduled_at <= (gap.until or gap.scheduled_at):
            _cut(gap, answer.scheduled_at)
        else:
            continue
        settled += 1
    return settled


def _cut(gap: Run, before: datetime) -> None:
    pipeline = Pipeline.objects.filter(pk=gap.pipeline).first()
    kept = []
    if pipeline is not None:
        last = before - timedelta(microseconds=1)
        kept = schedule_of(pipeline).between(gap.scheduled_at - timedelta(seconds=1), last, gap.count)
    gaps.resize(gap, len(kept), kept[-1] if kept else before, gap.reason)


def _extend(gone: dict[UUID, Node], now: datetime) -> int:
    known = {(gap.pipeline, gap.node): gap for gap in gaps.open_gaps().filter(node__in=list(gone)).order_by("id")}
    left, written = ROUND, 0
    for duty in _duties(gone):
        if left <= 0:
            break
        gap = known.get((duty.pipeline.pk, duty.node.pk))
        instants = _expected(duty, gap.until or gap.scheduled_at if gap else _answered(duty), now)
        # An edit has new instants; and what the worker has said since stands between.
        if instants and gap is not None and (duty.since > gap.scheduled_at or gaps.first_answer(gap)):
            gap, instants = None, _expected(duty, _answered(duty), now)
        left -= 1 + len(instants)
        if instants:
            written += 1
            _write(duty, gap, instants)
    return written


def _expected(duty: _Duty, answered: datetime, now: datetime) -> list[datetime]:
    after = max(duty.since, answered)
    until = now - max(LEAST_GRACE, timedelta(seconds=duty.pipeline.misfire_grace))
    return duty.schedule.between(after, until, CHUNK) if after < until else []


def _write(duty: _Duty, gap: Run | None, instants: list[datetime]) -> None:
    pipeline, node = duty.pipeline, duty.node
    if gap is not None:
        gaps.resize(gap, gap.count + len(instants), instants[-1], why(node))
    else:
        gaps.begin(pipeline.pk, pipeline.name, node.pk, node.name, instants, why(node))


def _duties(gone: dict[UUID, Node]) -> Iterable[_Duty]:
    wanted = Publication.objects.filter(node__in=list(gone), removal="").order_by("pk")
    enabled = Pipeline.objects.filter(enabled=True, placement=Pipeline.Placement.EVERY)
    pipelines = {
        each.pk: each
        for each in enabled.filter(pk__in=wanted.values("pipeline")).prefetch_related("calendars__entries")
    }
    schedules: dict[UUID, Schedule | None] = {}
    for row in wanted.iterator():
        pipeline = pipelines.get(row.pipeline)
        if pipeline is None:
            continue
        if row.pipeline not in schedules:
            schedules[row.pipeline] = _schedule(pipeline)
        if (schedule := schedules[row.pipeline]) is not None:
            yield _Duty(pipeline, gone[row.node], schedule, max(row.not_before, pipeline.not_before))


def _schedule(pipeline: Pipeline) -> Schedule | None:
    try:
        return schedule_of(pipeline)
    except ValueError:  # text that is no schedule, written past the validation
        return None


def _answered(duty: _Duty) -> datetime:
    """Up to when the ledger has the node's own word."""
    rows = gaps.newest(duty.pipeline.pk, duty.node.pk)
    return max((row.until or row.scheduled_at for row in rows), default=duty.since)
