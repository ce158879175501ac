"""Takes a batch of a worker's records into the database: exactly once, in order, all of it or none."""

import logging
from collections.abc import Callable, Collection
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any
from uuid import UUID

from django.db import transaction
from msgspec import DecodeError

from coordination import records
from coordination.identity import is_storable
from coordination.records import (
    TERMINAL,
    AppliedRecord,
    GapRecord,
    IngestBatch,
    IngestReply,
    OutputRecord,
    Record,
    RefusedRecord,
    RunRecord,
    SetAsideRecord,
    StepRecord,
)
from logs import rollups, signals
from logs.collisions import transact
from logs.models import Output, Run, StepRun, Stream
from logs.rollups import CONCLUDED, Counted
from logs.rows import Table

log = logging.getLogger(__name__)

_INTEGER = 2**31 - 1
_BIG = 2**63 - 1

_RUN = Table(
    Run,
    [
        "uuid",
        "pipeline",
        "pipeline_name",
        "node",
        "node_name",
        "trigger",
        "state",
        "reason",
        "scheduled_at",
        "started_at",
        "finished_at",
        "attempt",
        "generation",
        "count",
        "until",
        "shared",
        "provisional",
    ],
    ["uuid"],
)
_STEP = Table(
    StepRun,
    [
        "run",
        "index",
        "position",
        "role",
        "task",
        "task_name",
        "kind",
        "state",
        "reason",
        "attempts",
        "exit_code",
        "http_status",
        "started_at",
        "finished_at",
        "output_bytes",
        "output_dropped",
        "received_at",
    ],
    ["run", "index"],
)
_OUTPUT = Table(Output, ["run", "index", "number", "offset", "data", "received_at"], ["run", "index", "number"])


class Malformed(Exception):
    """A record that cannot be taken; the sentence says why."""


@dataclass
class _Harvest:
    """What a batch comes to, by kind; a later record of the same thing replaces an earlier one."""

    runs: dict[UUID, RunRecord] = field(default_factory=dict)
    steps: dict[tuple[UUID, int], StepRecord] = field(default_factory=dict)
    outputs: dict[tuple[UUID, int, int], OutputRecord] = field(default_factory=dict)
    applied: list[AppliedRecord] = field(default_factory=list)
    refused: list[RefusedRecord] = field(default_factory=list)
    owners: dict[UUID, int] = field(default_factory=dict)
    """Each run spoken of, with the sequence of the record that first did."""
    lost: int = 0


def take(batch: IngestBatch, node: UUID, node_name: str, now: datetime) -> IngestReply:
    """Writes what of the batch is new. The reply says how far the stream is held now, or which record is refused."""
    if batch.report is not None:
        report = batch.report
        with transaction.atomic():
            signals.node_reported.send(sender=take, node=node, report=report, received_at=now)
    if not batch.stream:
        return IngestReply(sequence=0, server_time=now)
    return transact(lambda: _take(batch, node, node_name, now))


def _take(batch: IngestBatch, node: UUID, node_name: str, now: datetime) -> IngestReply:
    stream = _locked(batch, node, now)
    if batch.first > stream.sequence + 1:
        return IngestReply(sequence=stream.sequence, server_time=now)
    sequence = batch.first
    harvest = _Harvest()
    try:
        for raw in batch.records:
            following = sequence + 1
            record = _decoded(raw)
            if isinstance(record, GapRecord):
                following = sequence + record.spans
            if following > stream.sequence + 1:
                _gather(harvest, record, sequence)
            sequence = following
        _write(harvest, node, node_name, now)
    except Malformed as error:
        refused = error.args[1] if len(error.args) > 1 else sequence
        return IngestReply(sequence=stream.sequence, server_time=now, refused=refused, reason=error.args[0])
    if sequence - 1 > stream.sequence:
        Stream.objects.filter(pk=stream.pk).update(
            sequence=sequence - 1, updated_at=now, lost=stream.lost + harvest.lost
        )
    _announce(harvest, node)
    return IngestReply(sequence=max(sequence - 1, stream.sequence), server_time=now)


def _locked(batch: IngestBatch, node: UUID, now: datetime) -> Stream:
    """The stream's row, locked until the transaction ends. Raises Malformed for a name that is none."""
    name = _uuid(batch.stream)
    Stream.objects.get_or_create(node=node, stream=name, defaults={"kind": batch.kind, "updated_at": now})
    return Stream.objects.select_for_update().get(node=node, stream=name)


def _decoded(raw: Any) -> Record:
    try:
        return records.decode_record(raw)
    except DecodeError as error:
        raise Malformed(f"not a record: {error}"[:500]) from None


def _gather(harvest: _Harvest, record: Record, sequence: int) -> None:
    if isinstance(record, RunRecord | StepRecord | OutputRecord):
        run = _uuid(record.run)
        harvest.owners.setdefault(run, sequence)
        if isinstance(record, RunRecord):
            _uuid(record.pipeline)
            _check_run(record)
            if run not in harvest.runs or _replaces(record.state, harvest.runs[run].state):
                harvest.runs[run] = record
        elif isinstance(record, StepRecord):
            _check_step(record)
            harvest.steps[run, record.index] = record
        else:
            _whole(record, "index number", _INTEGER)
            _whole(record, "offset", _BIG)
            harvest.outputs[run, record.index, record.number] = record
    elif isinstance(record, AppliedRecord):
        _uuid(record.pipeline)
        _whole(record, "generation", _BIG)
        harvest.applied.append(record)
    elif isinstance(record, RefusedRecord):
        _aware(record, "at")
        harvest.refused.append(record)
    elif isinstance(record, GapRecord | SetAsideRecord):
        harvest.lost += min(record.count, _INTEGER) if isinstance(record, GapRecord) else 1
        log.warning("records were lost on their way: %s", record)


def _write(harvest: _Harvest, node: UUID, node_name: str, now: datetime) -> None:
    others = harvest.owners.keys() - harvest.runs.keys()
    held = _held(Run.objects.select_for_update(), harvest.runs)
    for run in [*held.values(), *_held(Run.objects, others).values()]:
        # What the master wrote of a shared fire is nobody's, or the word of a node that may have been wrong.
        if run.node != node and not (run.shared and run.provisional):
            raise Malformed("this run belongs to another node", harvest.owners[run.uuid])
    taken = {
        uuid: record
        for uuid, record in harvest.runs.items()
        if uuid not in held or _replaces(record.state, held[uuid].state, provisional=held[uuid].provisional)
    }
    _RUN.insert(_run_row(uuid, record, node, node_name) for uuid, record in taken.items() if uuid not in held)
    _RUN.upsert(_run_row(uuid, record, node, node_name) for uuid, record in taken.items() if uuid in held)
    rollups.move(
        [rollups.counted(held[uuid]) for uuid in taken if uuid in held],
        [_counted(record, node) for record in taken.values()],
    )
    _STEP.upsert(_step_row(uuid, record, now) for (uuid, _), record in harvest.steps.items())
    _OUTPUT.upsert(
        (uuid, index, number, record.offset, record.data, now)
        for (uuid, index, number), record in harvest.outputs.items()
    )


def _held(runs: Any, wanted: Collection[UUID]) -> dict[UUID, Run]:
    """Those of the runs that are there."""
    if not wanted:
        return {}
    found = runs.filter(uuid__in=sorted(wanted)).only(
        "uuid",
        "pipeline",
        "node",
        "state",
        "scheduled_at",
        "started_at",
        "finished_at",
        "count",
        "shared",
        "provisional",
    )
    return {run.uuid: run for run in found}


def _replaces(new: str, held: str, *, provisional: bool = False) -> bool:
    """An end is never taken back by a beginning, and one that the worker saw by nothing."""
    return provisional or (held not in CONCLUDED and (new in TERMINAL or held not in TERMINAL))


def _counted(record: RunRecord, node: UUID) -> Counted:
    return Counted(
        UUID(record.pipeline),
        node,
        record.state,
        record.scheduled_at,
        record.started_at,
        record.finished_at,
        record.count,
    )


def _announce(harvest: _Harvest, node: UUID) -> None:
    if harvest.applied:
        signals.documents_applied.send(sender=take, node=node, records=harvest.applied)
    if harvest.refused:
        signals.documents_refused.send(sender=take, node=node, records=harvest.refused)


def _run_row(uuid: UUID, record: RunRecord, node: UUID, node_name: str) -> tuple[Any, ...]:
    return (
        uuid,
        UUID(record.pipeline),
        record.pipeline_name[:150],
        node,
        node_name,
        record.trigger,
        record.state,
        record.reason[:500],
        record.scheduled_at,
        record.started_at,
        record.finished_at,
        record.attempt,
        record.generation,
        record.count,
        record.until,
        record.shared,
        False,
    )


def _step_row(uuid: UUID, record: StepRecord, now: datetime) -> tuple[Any, ...]:
    return (
        uuid,
        record.index,
        record.position,
        record.role,
        record.task,
        record.task_name[:150],
        record.kind[:10],
        record.state,
        record.reason[:500],
        record.attempts,
        record.exit_code,
        record.http_status,
        record.started_at,
        record.finished_at,
        record.output_bytes,
        record.output_dropped,
        now,
    )


def _check_run(record: RunRecord) -> None:
    _aware(record, "scheduled_at started_at finished_at until")
    _whole(record, "attempt count", _INTEGER)
    _whole(record, "generation", _BIG)


def _check_step(record: StepRecord) -> None:
    _aware(record, "started_at finished_at")
    _whole(record, "index position attempts http_status", _INTEGER)
    _whole(record, "task output_bytes output_dropped", _BIG)
    _whole(record, "exit_code", _INTEGER, low=-_INTEGER)


def _aware(record: Record, names: str) -> None:
    _each(record, names, lambda value: value.tzinfo is not None, "an instant without a zone")


def _whole(record: Record, names: str, high: int, low: int = 0) -> None:
    _each(record, names, lambda value: low <= value <= high, "a number out of range")


def _each(record: Record, names: str, valid: Callable[[Any], bool], fault: str) -> None:
    for name in names.split():
        value = getattr(record, name)
        if value is not None and not valid(value):
            raise Malformed(f"{name} is {fault}")


def _uuid(text: str) -> UUID:
    try:
        found = UUID(text)
    except ValueError:
        raise Malformed(f"{text[:50]!r} is not a uuid") from None
    if not is_storable(found):
        raise Malformed(f"{text[:50]!r} is a uuid that MariaDB cannot hold")
    return found
