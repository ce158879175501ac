"""What a batch of records comes to: unpacked, checked and gathered by kind, before the database is touched."""

import logging
from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import datetime
from functools import lru_cache
from uuid import UUID

from msgspec import DecodeError

from coordination import records
from coordination.identity import is_storable
from coordination.records import (
    TERMINAL,
    AppliedRecord,
    CutRecord,
    GapRecord,
    IngestBatch,
    OutputRecord,
    Record,
    RefusedRecord,
    RunRecord,
    StepRecord,
)
from logs.rollups import CONCLUDED

log = logging.getLogger(__name__)

FIRST_YEAR, LAST_YEAR = 1971, 9998
"""Instants beyond are nobody's, and some databases and time zones cannot have them."""


class Malformed(Exception):
    """A record that cannot be taken: a sentence that says why, and its sequence."""

    def __init__(self, reason: str, sequence: int | None = None) -> None:
        super().__init__(reason)
        self.reason = reason
        self.sequence = sequence


@dataclass
class Unpacked:
    """The records of a batch by their sequences. ``last`` is where the stream is when they are taken."""

    last: int
    records: list[tuple[int, Record]]


@dataclass
class Harvest:
    """What there is to write; a later record of the same thing replaces an earlier one."""

    runs: dict[UUID, RunRecord] = field(default_factory=dict)
    steps: dict[tuple[UUID, int], StepRecord] = field(default_factory=dict)
    outputs: dict[tuple[UUID, int, int], OutputRecord] = field(default_factory=dict)
    cuts: dict[tuple[UUID, int], CutRecord] = field(default_factory=dict)
    applied: list[AppliedRecord] = field(default_factory=list)
    refused: list[RefusedRecord] = field(default_factory=list)
    owners: dict[UUID, int] = field(default_factory=dict)
    """Each run spoken of, with the sequence of the record that first did."""
    lost: int = 0


def unpack(batch: IngestBatch) -> Unpacked:
    """Raises Malformed for the first record that cannot be taken."""
    sequence, found = batch.first, []
    for raw in batch.records:
        try:
            record = records.decode_record(raw)
            _check(record)
        except DecodeError as error:
            raise Malformed(f"not a record: {error}"[:500], sequence) from None
        except Malformed as error:
            raise Malformed(error.reason, sequence) from None
        found.append((sequence, record))
        sequence += record.spans if isinstance(record, GapRecord) else 1
    return Unpacked(sequence - 1, found)


def gather(unpacked: Unpacked, held: int) -> Harvest:
    """What is beyond the sequence that is held."""
    harvest = Harvest()
    for sequence, record in unpacked.records:
        if sequence > held or (isinstance(record, GapRecord) and sequence + record.spans - 1 > held):
            _add(harvest, record, sequence)
    return harvest


def replaces(new: str, held: str) -> bool:
    """Whether a run's state gives way to another: an end never to a beginning, and one that the worker saw to none."""
    return held not in CONCLUDED and (new in TERMINAL or held not in TERMINAL)


@lru_cache(maxsize=8192)
def uuid_of(text: str) -> UUID:
    """Raises Malformed for what is no uuid, or none that every database holds."""
    try:
        found = UUID(text)
    except ValueError:
        raise Malformed(f"{text[:50]!r} is not a uuid") from None
    if not is_storable(found):
        raise Malformed(f"{text[:50]!r} is a uuid that MariaDB cannot hold")
    return found


def _add(harvest: Harvest, record: Record, sequence: int) -> None:
    if isinstance(record, RunRecord | StepRecord | OutputRecord | CutRecord):
        run = uuid_of(record.run)
        harvest.owners.setdefault(run, sequence)
        if isinstance(record, RunRecord):
            if run not in harvest.runs or replaces(record.state, harvest.runs[run].state):
                harvest.runs[run] = record
        elif isinstance(record, StepRecord):
            harvest.steps[run, record.index] = record
        elif isinstance(record, CutRecord):
            harvest.cuts[run, record.index] = record
        else:
            harvest.outputs[run, record.index, record.number] = record
    elif isinstance(record, AppliedRecord):
        harvest.applied.append(record)
    elif isinstance(record, RefusedRecord):
        harvest.refused.append(record)
    else:
        harvest.lost += record.count if isinstance(record, GapRecord) else 1
        log.warning("records were lost on their way: %s", record)


def _check(record: Record) -> None:
    """What the types do not say."""
    if isinstance(record, RunRecord):
        uuid_of(record.run)
        uuid_of(record.pipeline)
        _check_instants((record.scheduled_at, record.started_at, record.finished_at, record.until))
    elif isinstance(record, StepRecord):
        uuid_of(record.run)
        _check_instants((record.started_at, record.finished_at))
    elif isinstance(record, OutputRecord | CutRecord):
        uuid_of(record.run)
    elif isinstance(record, AppliedRecord):
        uuid_of(record.pipeline)
    elif isinstance(record, RefusedRecord):
        _check_instants((record.at,))


def _check_instants(instants: Iterable[datetime | None]) -> None:
    for instant in instants:
        if instant is not None and not FIRST_YEAR <= instant.year <= LAST_YEAR:
            raise Malformed(f"the year {instant.year} is out of range")
