"""What a worker sends up to the console: journal records, in batches, over HTTP.

A record is named by (node, stream, sequence). Each start of a worker opens two new streams, one for states and one
for output, so that a backlog of output never hides an ending. Records carry whole rows, so that applying one twice
changes nothing. Instants are aware UTC; output is base64 in JSON.
"""

from datetime import datetime
from typing import Annotated, Literal, NamedTuple

from msgspec import Meta, Raw, Struct, json

from coordination.documents import Instant
from coordination.trust import Notice

Whole = Annotated[int, Meta(ge=0, le=2**31 - 1)]
Big = Annotated[int, Meta(ge=0, le=2**62)]
"""As the console's columns hold them; a record beyond is refused when it is decoded."""

Trigger = Literal["schedule", "manual", "catch_up", "rerun"]
RunState = Literal["running", "succeeded", "failed", "timed_out", "killed", "skipped", "missed", "lost"]
StepState = Literal["running", "succeeded", "failed", "timed_out", "killed", "skipped", "lost"]
StreamKind = Literal["state", "output"]

TERMINAL = frozenset({"succeeded", "failed", "timed_out", "killed", "skipped", "missed", "lost"})


class RunRecord(Struct, frozen=True, kw_only=True, tag="run", tag_field="type", omit_defaults=True):
    """A run as it now stands, or a fire that did not run (skipped, missed).

    ``count`` above 1 makes it a gap: so many expected fires from ``scheduled_at`` to ``until`` with one fate.
    ``generation`` is that of the document it ran on. A running run without ``started_at`` waits for a free place. While
    it runs ``started_at`` is when its worker came to it, at the end when the work of its first step began.
    """

    run: str
    pipeline: str
    pipeline_name: str
    state: RunState
    trigger: Trigger
    scheduled_at: Instant
    generation: Big = 0
    attempt: Whole = 1
    reason: str = ""
    started_at: Instant | None = None
    finished_at: Instant | None = None
    count: Whole = 1
    until: Instant | None = None
    shared: bool = False


class Try(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """One try of a step that was tried again; the last one has no end of its own: it is the step's."""

    started_at: Instant
    finished_at: Instant | None = None
    reason: str = ""


class StepRecord(Struct, frozen=True, kw_only=True, tag="step", tag_field="type", omit_defaults=True):
    """A step of a run as it now stands. ``index`` counts the run's steps from 0; the success or failure task of the
    pipeline is the step after the last, with ``role`` telling so. ``attempts`` is how many tries were begun, ``tries``
    the last of them when there was more than one. ``started_at`` is as with a run."""

    run: str
    index: Whole
    position: Whole
    task: Big
    task_name: str
    kind: str
    state: StepState
    role: Literal["step", "on_success", "on_failure"] = "step"
    attempts: Whole = 0
    exit_code: Annotated[int, Meta(ge=-(2**31) + 1, le=2**31 - 1)] | None = None
    http_status: Whole | None = None
    reason: str = ""
    started_at: Instant | None = None
    finished_at: Instant | None = None
    output_bytes: Big = 0
    output_dropped: Big = 0
    tries: tuple[Try, ...] = ()


class OutputRecord(Struct, frozen=True, kw_only=True, tag="output", tag_field="type", omit_defaults=True):
    """A piece of a step's output. ``number`` counts the pieces of a step from 0; ``offset`` is the byte position in
    what the step wrote; a jump in offset is a cut in the middle beyond the cap."""

    run: str
    index: Whole
    number: Whole
    offset: Big
    data: bytes


class CutRecord(Struct, frozen=True, kw_only=True, tag="cut", tag_field="type", omit_defaults=True):
    """What came of a step's output from the byte ``begin`` up to the byte before ``end`` is to be dropped: only now is
    it known that there is more than the cap."""

    run: str
    index: Whole
    begin: Big
    end: Big


class AppliedRecord(Struct, frozen=True, kw_only=True, tag="applied", tag_field="type", omit_defaults=True):
    """This node now acts on this generation of a pipeline (or has forgotten it, when ``removed``)."""

    pipeline: str
    generation: Big
    removed: bool = False


class RefusedRecord(Struct, frozen=True, kw_only=True, tag="refused", tag_field="type", omit_defaults=True):
    """A document or command in etcd that this node did not accept, and why."""

    key: str
    reason: str
    at: Instant


class GapRecord(Struct, frozen=True, kw_only=True, tag="gap", tag_field="type", omit_defaults=True):
    """Records that were lost before delivery (disk full, damage, rewound too far): so many, for this reason.

    It stands for ``spans`` sequence numbers of its stream: the next record's is its own plus ``spans``.
    """

    count: Whole
    reason: str
    spans: Annotated[int, Meta(ge=1, le=2**31 - 1)] = 1


class SetAsideRecord(Struct, frozen=True, kw_only=True, tag="set_aside", tag_field="type", omit_defaults=True):
    """Stands in the place of a record that the server refused, so that those behind it can pass."""

    kind: str
    reason: str


Record = RunRecord | StepRecord | OutputRecord | CutRecord | AppliedRecord | RefusedRecord | GapRecord | SetAsideRecord


class NodeReport(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """How the node is, sent with each batch. ``clock`` is the node's time when sending; ``backlog`` counts records
    not yet delivered; ``incidents`` are sentences on what is wrong now (disk full, etcd unreachable). ``void_epoch`` is
    the epoch in which the node saw etcd go back in time, 0 for none: it has to be replaced. ``keys`` are the ids of the
    signing keys that the node trusts; a worker of before 0.2.0 does not name them. ``document`` is the generation of
    the ``coordination.documents.NodeDocument`` that the node acts on, 0 before the first; -1: it is too old for that.
    """

    version: str = ""
    clock: datetime | None = None
    running: int = 0
    capacity: int = 0
    backlog: int = 0
    etcd_connected: bool = True
    draining: bool = False
    host: str = ""
    incidents: tuple[str, ...] = ()
    void_epoch: int = 0
    keys: tuple[str, ...] = ()
    document: int = -1


class IngestBatch(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """One POST to ``/api/v1/ingest/``: records ``first``, ``first + 1``, … of one stream (1 is the first of all).

    No records: a report only. Each record stays raw, so that a malformed one can be named by its sequence.
    """

    stream: str
    kind: StreamKind
    first: Big
    records: tuple[Raw, ...] = ()
    report: NodeReport | None = None


class Word(NamedTuple):
    """What the console has to tell a node that has reported. ``trust`` comes when the report names other keys than
    those that count; ``node`` is a signed ``coordination.documents.NodeDocument``, newer than the one reported."""

    trust: Notice | None = None
    node: str = ""


class IngestReply(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """``sequence`` is the last one the server holds of the stream; ``server_time`` its clock when it answered.

    ``refused`` names the sequence of a malformed record (the batch was refused whole), ``reason`` says why. ``trust``
    and ``node`` are what the console has to tell the node besides, see ``Word``.
    """

    sequence: int
    server_time: datetime
    refused: int | None = None
    reason: str = ""
    trust: Notice | None = None
    node: str = ""


_encoder = json.Encoder()
_record: json.Decoder[Record] = json.Decoder(Record)
_batch = json.Decoder(IngestBatch)
_reply = json.Decoder(IngestReply)


def encode(value: Record | IngestBatch | IngestReply) -> bytes:
    """JSON of a record, batch or reply."""
    return _encoder.encode(value)


def decode_record(data: bytes | Raw) -> Record:
    """Raises msgspec.ValidationError, or msgspec.DecodeError for what is not JSON."""
    return _record.decode(data)


def decode_batch(data: bytes) -> IngestBatch:
    """Raises msgspec.ValidationError, or msgspec.DecodeError for what is not JSON."""
    return _batch.decode(data)


def decode_reply(data: bytes) -> IngestReply:
    """Raises msgspec.ValidationError, or msgspec.DecodeError for what is not JSON."""
    return _reply.decode(data)
