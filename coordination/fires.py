"""The one record of a shared pipeline (``/ects/fires/<pipeline>``) and its transitions, all pure.

A transition takes a record and returns the next one; ``write`` makes it one compare-and-set on the whole record.
Instants are aware UTC. A transition that the record does not allow raises ``Illegal``: that is a bug of the caller,
never a race, since races are settled by the compare.

An instant up to ``mark`` is decided unless it stands in ``open``. ``runs`` holds what is running (or was, when its
session is gone), ``recent`` the decisions that the ledger may not have yet.
"""

from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, Literal

from msgspec import DecodeError, Struct, json
from msgspec.structs import replace

from coordination.documents import PipelineDocument
from coordination.gateway import Compare, Get, KeyValue, Operation, Outcome, Put
from coordination.keys import Keys
from coordination.records import RunState

OPEN_CAP = 1000
"""The most instants that wait undecided; a longer queue loses its oldest ones to a gap row in the same step."""

RECENT_CAP = 300
"""The most decisions kept for the ledger. What goes first beyond it are endings, which a journal holds as well."""

TRIM_AGE = timedelta(seconds=10)
"""A decision stays at least until its instant is so old: a mark that is set back must not open it again."""

SESSION_TTL = 30.0
"""Seconds a worker's session outlives its last keep-alive."""

SETTLING = timedelta(seconds=SESSION_TTL + 2)
"""For so long after an epoch began nothing is claimed or closed: every earlier right to run is over by then."""

BACKLOG = "too many fires were waiting"


class Illegal(Exception):
    """The record does not allow this transition."""


class Epoch(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """Identity of this filling of etcd: ``id`` is Unix milliseconds. ``first``: nothing ran before it, ever."""

    id: int
    created: datetime
    first: bool = False

    @property
    def settled_at(self) -> datetime:
        """From when on runs may be claimed, closed and taken over."""
        return self.created if self.first else self.created + SETTLING


class Timing(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """The part of a document that says which instants are expected, and since which generation.

    It stands in the record so that whoever takes over from an older document, with no memory of it, still knows
    which instants it expected.
    """

    generation: int
    schedule: str
    timezone: str = "UTC"
    dst_gap: Literal["shift", "skip"] = "shift"
    dst_repeat: Literal["first", "both"] = "first"
    starts_at: datetime | None = None
    ends_at: datetime | None = None
    jitter: float = 0
    blackouts: tuple[dict[str, Any], ...] = ()


class Claim(Struct, frozen=True, kw_only=True):
    """One run that is going. ``nonce`` names the claim, over repeats of its transaction and changes of session;
    ``epoch`` is that in which it was made."""

    instant: datetime
    attempt: int
    node: str
    session: str
    nonce: str
    epoch: int = 0


class Decision(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """How an instant ended. ``node`` is whose ledger row it is; empty: nobody's, the console writes it unless there is
    a row already. ``count`` above 1: so many instants from ``instant`` to ``until`` with one fate."""

    instant: datetime
    attempt: int = 1
    state: RunState
    reason: str = ""
    node: str = ""
    count: int = 1
    until: datetime | None = None


class FireRecord(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """The record. ``generation`` is the lowest document generation that may still claim. ``inherited`` is the epoch and
    version of the record that was carried over from an earlier epoch, until a transition builds on it: so long a
    better memory may replace it."""

    epoch: int
    version: int = 0
    generation: int = 0
    mark: datetime
    open: tuple[datetime, ...] = ()
    runs: tuple[Claim, ...] = ()
    recent: tuple[Decision, ...] = ()
    timing: Timing | None = None
    inherited: tuple[int, int] | None = None

    @property
    def lineage(self) -> tuple[int, int]:
        """Epoch and version of what it knows: of two memories, the one with the higher lineage is the better."""
        return self.inherited or (self.epoch, self.version)

    def run(self, nonce: str) -> Claim | None:
        """The running entry of this claim."""
        return next((run for run in self.runs if run.nonce == nonce), None)

    def decided(self, instant: datetime) -> bool:
        """The instant has an entry among the runs or the recent decisions."""
        return any(run.instant == instant for run in self.runs) or any(
            entry.instant <= instant <= (entry.until or entry.instant) for entry in self.recent
        )


_encoder = json.Encoder(order="deterministic")
_record = json.Decoder(FireRecord)
_epoch = json.Decoder(Epoch)


def encode(value: FireRecord | Epoch) -> bytes:
    """Canonical JSON."""
    return _encoder.encode(value)


def decode(data: bytes) -> FireRecord:
    """Raises msgspec.DecodeError (ValidationError included) for what is not a record."""
    return _record.decode(data)


def decode_epoch(data: bytes) -> Epoch:
    """Raises msgspec.DecodeError (ValidationError included) for what is not an epoch."""
    return _epoch.decode(data)


def timing_of(document: PipelineDocument) -> Timing:
    """What the document expects."""
    return Timing(
        generation=document.generation,
        schedule=document.schedule,
        timezone=document.timezone,
        dst_gap=document.dst_gap,
        dst_repeat=document.dst_repeat,
        starts_at=document.starts_at,
        ends_at=document.ends_at,
        jitter=document.jitter,
        blackouts=document.blackouts,
    )


# -- transitions ------------------------------------------------------------------------------------------------------


def begin(epoch: int, mark: datetime) -> FireRecord:
    """The first record of a pipeline that nothing is known of: what is up to ``mark`` is not expected."""
    return FireRecord(epoch=epoch, mark=mark)


def inherit(known: FireRecord, epoch: int, begun: FireRecord | None = None) -> FireRecord:
    """What a node remembers from an earlier epoch, carried into a new one. ``begun`` is what a node that remembered
    less has carried there: the runs that were reattached to new sessions since then stay with them."""
    sessions = {run.nonce: run.session for run in begun.runs} if begun else {}
    runs = tuple(replace(run, session=sessions.get(run.nonce, run.session)) for run in known.runs)
    return replace(known, epoch=epoch, inherited=known.lineage, runs=runs)


def advance(record: FireRecord, mark: datetime, expected: Iterable[datetime]) -> FireRecord:
    """Moves the mark; every expected instant that it passes is opened, unless it is decided already."""
    if mark < record.mark:
        raise Illegal(f"the mark moves forward only, not from {record.mark} to {mark}")
    passed = {instant for instant in expected if record.mark < instant <= mark and not record.decided(instant)}
    return replace(record, mark=mark, open=tuple(sorted(passed.union(record.open))))


def bound(record: FireRecord, node: str, cap: int = OPEN_CAP) -> FireRecord:
    """Decides the oldest open instants beyond ``cap`` as missed."""
    excess = record.open[: max(len(record.open) - cap, 0)]
    if not excess:
        return record
    gap = Decision(instant=excess[0], state="missed", reason=BACKLOG, node=node, count=len(excess), until=excess[-1])
    return decide(record, [gap])


def decide(record: FireRecord, decisions: Sequence[Decision]) -> FireRecord:
    """Open instants end without a run: skipped or missed."""
    opened = set(record.open)
    for decision in decisions:
        until = decision.until or decision.instant
        ended = {instant for instant in opened if decision.instant <= instant <= until}
        if len(ended) != decision.count:
            raise Illegal(
                f"{decision.count} instants from {decision.instant} to {until} are not open: {len(ended)} are"
            )
        opened -= ended
    return replace(record, open=tuple(sorted(opened)), recent=_kept((*record.recent, *decisions)))


def claim(record: FireRecord, entry: Claim) -> FireRecord:
    """An open instant is run."""
    if entry.instant not in record.open or record.decided(entry.instant):
        raise Illegal(f"{entry.instant} is not open")
    return replace(
        record,
        open=tuple(instant for instant in record.open if instant != entry.instant),
        runs=(*record.runs, entry),
    )


def finish(record: FireRecord, nonce: str, state: RunState, reason: str = "") -> FireRecord:
    """A run has ended."""
    run = _going(record, nonce)
    ending = Decision(instant=run.instant, attempt=run.attempt, state=state, reason=reason, node=run.node)
    return replace(record, runs=_without(record, run), recent=_kept((*record.recent, ending)))


def next_attempt(record: FireRecord, run: Claim) -> int:
    """The attempt that follows when this one is lost. A claim of an earlier epoch may have been taken over in what
    etcd has lost: the numbers go on at the next ten, so that no two executions have one name."""
    return run.attempt + 1 if run.epoch == record.epoch else (run.attempt // 10 + 1) * 10 + 1


def take_over(record: FireRecord, nonce: str, successor: Claim | None, reason: str) -> FireRecord:
    """A run is lost: closed, or run again by ``successor`` as the next attempt."""
    run = _going(record, nonce)
    runs = _without(record, run)
    if successor is not None:
        if (successor.instant, successor.attempt) != (run.instant, next_attempt(record, run)):
            raise Illegal(f"attempt {successor.attempt} of {successor.instant} does not follow {run.attempt}")
        runs = (*runs, successor)
    lost = Decision(instant=run.instant, attempt=run.attempt, state="lost", reason=reason, node=run.node)
    return replace(record, runs=runs, recent=_kept((*record.recent, lost)))


def reattach(record: FireRecord, nonce: str, session: str) -> FireRecord:
    """A living run goes on under its node's new session."""
    run = _going(record, nonce)
    moved = replace(run, session=session)
    return replace(record, runs=tuple(moved if entry is run else entry for entry in record.runs))


def raise_generation(record: FireRecord, generation: int) -> FireRecord:
    """Documents older than this claim nothing from now on."""
    return replace(record, generation=max(record.generation, generation))


def adopt(
    record: FireRecord,
    *,
    generation: int,
    timing: Timing | None,
    at: datetime,
    before: Sequence[datetime],
    after: Sequence[datetime],
    closed: Sequence[Decision],
) -> FireRecord:
    """A changed document takes effect at the instant ``at``.

    ``before`` are the instants that the record's own timing expects after the mark and up to ``at``; ``closed``
    decides, as missed, what was open of that timing. ``after`` are the instants up to the mark that only the new
    timing expects (the mark has passed ``at`` when the change came late to whoever moved it). ``timing`` None:
    nothing is expected any more.
    """
    moved = decide(advance(record, max(at, record.mark), before), closed)
    opened = {instant for instant in after if at < instant <= record.mark and not moved.decided(instant)}
    return replace(raise_generation(moved, generation), timing=timing, open=tuple(sorted(opened.union(moved.open))))


def repair_mark(record: FireRecord, now: datetime) -> FireRecord:
    """Takes back a mark that a fast clock has moved into the future. What is decided there stays decided."""
    return replace(record, mark=now, open=tuple(instant for instant in record.open if instant <= now))


def trim(record: FireRecord, ingested: Collection[tuple[datetime, int]], now: datetime) -> FireRecord:
    """Forgets the decisions ``(instant, attempt)`` that the ledger holds."""
    old = now - TRIM_AGE
    kept = tuple(
        entry
        for entry in record.recent
        if (entry.instant, entry.attempt) not in ingested or (entry.until or entry.instant) > old
    )
    return record if len(kept) == len(record.recent) else replace(record, recent=kept)


def _going(record: FireRecord, nonce: str) -> Claim:
    run = record.run(nonce)
    if run is None:
        raise Illegal(f"no run {nonce} is going")
    return run


def _without(record: FireRecord, run: Claim) -> tuple[Claim, ...]:
    return tuple(entry for entry in record.runs if entry is not run)


def _kept(recent: tuple[Decision, ...]) -> tuple[Decision, ...]:
    excess = len(recent) - RECENT_CAP
    if excess <= 0:
        return recent
    endings = [index for index, entry in enumerate(recent) if entry.state not in ("skipped", "missed", "lost")]
    others = [index for index, entry in enumerate(recent) if entry.state in ("skipped", "missed", "lost")]
    dropped = {*(endings + others)[:excess]}
    return tuple(entry for index, entry in enumerate(recent) if index not in dropped)


# -- as transactions --------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Seen:
    """The record's key as last read: ``mod_revision`` 0 when it is absent; ``record`` None also when unreadable."""

    record: FireRecord | None
    mod_revision: int


@dataclass(frozen=True, slots=True)
class Transaction:
    """What ``Gateway.transact`` takes."""

    compares: tuple[Compare, ...]
    then: tuple[Operation, ...]
    otherwise: tuple[Operation, ...] = ()


def seen(item: KeyValue | None) -> Seen:
    """The record in this key, None for an absent key. Bytes that are no record are void, as if of another epoch."""
    if item is None:
        return Seen(None, 0)
    try:
        return Seen(decode(item.value), item.mod_revision)
    except DecodeError:
        return Seen(None, item.mod_revision)


def next_version(before: Seen, after: FireRecord) -> FireRecord:
    """``after`` as it is written: its version is above all that were written before."""
    return replace(after, version=max(after.version, before.record.version if before.record else 0) + 1)


def write(
    keys: Keys, pipeline: str, before: Seen, after: FireRecord, epoch: Epoch, *also: Compare, reads: Sequence[str] = ()
) -> Transaction:
    """One transition: the whole record unchanged, the epoch the same, and ``also``. When refused it reads the record,
    the epoch and ``reads``. ``after`` comes from ``next_version``.

    The epoch is compared by value: after a wipe a key may come back at the same revision.
    """
    key = keys.fires(pipeline)
    return Transaction(
        (Compare.unchanged(key, before.mod_revision), Compare.holds(keys.epoch(), encode(epoch)), *also),
        (Put(key, encode(after)),),
        tuple(Get(name) for name in (key, keys.epoch(), *reads)),
    )


def read(keys: Keys, pipeline: str) -> Transaction:
    """Reads the record and the epoch."""
    return Transaction((), (Get(keys.fires(pipeline)), Get(keys.epoch())))


def found(outcome: Outcome) -> dict[str, KeyValue]:
    """The keys that a transaction has read."""
    return {item.key: item for result in outcome.results for item in result}
