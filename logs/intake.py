"""Takes a batch of a worker's records into the database: exactly once, in order, all of it or none."""

from collections.abc import Collection
from datetime import datetime
from typing import Any, NamedTuple
from uuid import UUID

from django.db import transaction
from django.db.models import Q
from msgspec import json

from coordination.records import IngestBatch, IngestReply, NodeReport, OutputRecord, RunRecord, StepRecord, Word
from logs import rollups, signals
from logs.collisions import transact
from logs.harvest import Harvest, Malformed, Unpacked, gather, replaces, unpack, uuid_of
from logs.models import Output, Run, StepRun, Stream
from logs.output import drop
from logs.rollups import Counted
from logs.rows import Rows, Table

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
        "tries",
        "received_at",
    ],
    ["run", "index"],
)
_OUTPUT = Table(Output, ["run", "index", "number", "offset", "data", "received_at"], ["run", "index", "number"])


class _Sender(NamedTuple):
    """Whose batch it is, and when it came."""

    node: UUID
    name: str
    now: datetime


class _Held(NamedTuple):
    """What has to be known of a run that is there."""

    node: UUID
    shared: bool
    provisional: bool
    counted: Counted


class _Crop(NamedTuple):
    """A harvest as rows: made before the database is locked, for on SQLite others wait meanwhile."""

    harvest: Harvest
    runs: dict[UUID, tuple[Any, ...]]
    steps: Rows
    outputs: Rows


def take(batch: IngestBatch, node: UUID, node_name: str, now: datetime) -> IngestReply:
    """Writes what of the batch is new. The reply says how far the stream is held now, or which record is refused.
    Raises Malformed for a stream whose name is none."""
    word = _reported(batch.report, node, now) if batch.report is not None else Word()
    told = word._asdict()
    if not batch.stream:
        return IngestReply(sequence=0, server_time=now, **told)
    stream = uuid_of(batch.stream)
    sender = _Sender(node, node_name, now)
    try:
        unpacked = unpack(batch)
        crop = _crop(gather(unpacked, batch.first - 1), sender)
        sequence = transact(lambda: _write(batch, stream, unpacked, crop, sender))
    except Malformed as error:
        held = Stream.objects.filter(node=node, stream=stream).values_list("sequence", flat=True).first()
        refused = error.sequence
        return IngestReply(sequence=held or 0, server_time=now, refused=refused, reason=error.reason, **told)
    return IngestReply(sequence=sequence, server_time=now, **told)


def _reported(report: NodeReport, node: UUID, now: datetime) -> Word:
    with transaction.atomic():
        answers: list[tuple[Any, Any]] = signals.node_reported.send(
            sender=take, node=node, report=report, received_at=now
        )
    return next((answer for _, answer in answers if isinstance(answer, Word)), Word())


def _write(batch: IngestBatch, name: UUID, unpacked: Unpacked, crop: _Crop, sender: _Sender) -> int:
    """The sequence that is held then. Raises Malformed."""
    stream = Stream.objects.select_for_update().filter(node=sender.node, stream=name).first()
    if stream is None:
        stream = Stream.objects.create(node=sender.node, stream=name, kind=batch.kind, updated_at=sender.now)
    if batch.first > stream.sequence + 1 or unpacked.last <= stream.sequence:
        return stream.sequence
    if batch.first <= stream.sequence:
        crop = _crop(gather(unpacked, stream.sequence), sender)
    _write_runs(crop, sender)
    _STEP.upsert(crop.steps)
    _OUTPUT.upsert(crop.outputs)
    for (run, index), cut in crop.harvest.cuts.items():
        drop(run, index, cut.begin, cut.end)
    harvest = crop.harvest
    Stream.objects.filter(pk=stream.pk).update(
        sequence=unpacked.last, updated_at=sender.now, lost=stream.lost + harvest.lost
    )
    if harvest.applied:
        signals.documents_applied.send(sender=take, node=sender.node, records=harvest.applied)
    if harvest.refused:
        signals.documents_refused.send(sender=take, node=sender.node, records=harvest.refused)
    taken = {"node": sender.node, "records": unpacked.last - stream.sequence, "lag": _lag(harvest, sender.now)}
    transaction.on_commit(lambda: signals.records_taken.send(sender=take, **taken))
    return unpacked.last


def _lag(harvest: Harvest, now: datetime) -> float | None:
    ends = [run.finished_at for run in harvest.runs.values() if run.finished_at is not None]
    return (now - min(ends)).total_seconds() if ends else None


def _write_runs(crop: _Crop, sender: _Sender) -> None:
    harvest = crop.harvest
    held = _held(harvest.runs)
    strangers = [uuid for uuid, run in held.items() if run.node != sender.node and not (run.shared and run.provisional)]
    strangers += _strangers(harvest.owners.keys() - harvest.runs.keys(), sender.node)
    if strangers:
        raise Malformed("this run belongs to another node", min(harvest.owners[uuid] for uuid in strangers))
    taken = {
        uuid: record
        for uuid, record in harvest.runs.items()
        if uuid not in held or held[uuid].provisional or replaces(record.state, held[uuid].counted.state)
    }
    _RUN.insert([crop.runs[uuid] for uuid in taken if uuid not in held])
    _RUN.upsert([crop.runs[uuid] for uuid in taken if uuid in held])
    rollups.move(
        [held[uuid].counted for uuid in taken if uuid in held],
        [_counted(record, sender.node) for record in taken.values()],
    )


def _held(wanted: Collection[UUID]) -> dict[UUID, _Held]:
    """Those of the runs that are there, locked."""
    if not wanted:
        return {}
    runs = Run.objects.select_for_update().filter(uuid__in=sorted(wanted)).order_by()
    rows = runs.values_list("uuid", "node", "shared", "provisional", *rollups.FIELDS)
    return {uuid: _Held(node, shared, provisional, Counted(*rest)) for uuid, node, shared, provisional, *rest in rows}


def _strangers(runs: Collection[UUID], node: UUID) -> list[UUID]:
    """Those that another node speaks for. What the master wrote of a shared fire is nobody's, or the word of a node
    that may have been wrong."""
    if not runs:
        return []
    others = Run.objects.filter(uuid__in=sorted(runs)).exclude(Q(node=node) | Q(shared=True, provisional=True))
    return list(others.order_by().values_list("uuid", flat=True))


def _crop(harvest: Harvest, sender: _Sender) -> _Crop:
    runs = _RUN.adapted(_run_row(uuid, record, sender) for uuid, record in harvest.runs.items())
    return _Crop(
        harvest,
        dict(zip(harvest.runs, runs, strict=True)),
        _STEP.adapted(_step_row(uuid, record, sender.now) for (uuid, _), record in harvest.steps.items()),
        _OUTPUT.adapted(_output_row(uuid, record, sender.now) for (uuid, _, _), record in harvest.outputs.items()),
    )


def _counted(record: RunRecord, node: UUID) -> Counted:
    return Counted(
        uuid_of(record.pipeline),
        node,
        record.state,
        record.scheduled_at,
        record.started_at,
        record.finished_at,
        record.count,
        record.trigger,
    )


def _run_row(uuid: UUID, record: RunRecord, sender: _Sender) -> tuple[Any, ...]:
    return (
        uuid,
        uuid_of(record.pipeline),
        record.pipeline_name[:150],
        sender.node,
        sender.name,
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
        json.encode(record.tries).decode() if record.tries else None,
        now,
    )


def _output_row(uuid: UUID, record: OutputRecord, now: datetime) -> tuple[Any, ...]:
    return uuid, record.index, record.number, record.offset, record.data, now
