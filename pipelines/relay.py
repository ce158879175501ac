"""Carries out what the outbox wants: renders, signs, and writes into etcd.

Every write compares the key's mod_revision, so that of two relays only one wins; nothing is ever written over a newer
generation, and a rendering older than ``STALE`` seconds is dropped: its relay was held up, others have gone on.
"""

import time
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from datetime import timedelta
from typing import TypeVar

from django.db.models import Exists, F, OuterRef, Q, QuerySet
from django.utils.timezone import now
from msgspec import DecodeError

from coordination import crypto, documents
from coordination.documents import Tombstone
from coordination.errors import CoordinationError, InvalidRequest, LimitExceeded
from coordination.gateway import CALL_TIMEOUT, Compare, Delete, Get, KeyValue, Operation, Put, SyncGateway
from coordination.keys import Keys
from pipelines import editions, rendering
from pipelines.models import Publication
from pipelines.outbox import step_past
from pipelines.rendering import Source, Unreadable
from workers import keyring, store
from workers.models import Node

T = TypeVar("T")

STALE = 60.0
"""Seconds after which a rendering is too old to be written."""

BATCH = 64
"""Documents written in one transaction; etcd allows 128 operations."""

BATCH_BYTES = 1_000_000
"""Bytes written in one transaction; etcd allows 1.5 MB."""

RACES = 5
"""Lost races for a key before it is left for the next relay."""

RETRY_STORE = 0.5
"""Seconds before rows are tried again after etcd could not be used."""

RETRY_ROW_MOST = 300.0
"""Longest wait in seconds before a row that etcd or the rendering refuses is tried again."""


@dataclass(frozen=True, slots=True)
class Letter:
    """What one key should hold; no envelope: nothing any more. ``rendered_at`` is monotonic seconds."""

    row: Publication
    key: str
    envelope: bytes | None
    rendered_at: float

    def operation(self) -> Operation:
        return Delete(self.key) if self.envelope is None else Put(self.key, self.envelope)


@dataclass(slots=True)
class Report:
    """What a relay did: rows brought up to date, and why it stopped early, if it did."""

    done: int = 0
    trouble: str = ""


@dataclass(slots=True)
class Relay:
    """One pass over rows of the outbox, ended after ``budget`` seconds."""

    budget: float
    gateway: SyncGateway = field(default_factory=lambda: store.sync_gateway())
    keys: Keys = field(default_factory=lambda: store.keys())
    signer: crypto.Signer = field(default_factory=lambda: keyring.signer())
    verify_keys: dict[str, bytes] = field(default_factory=lambda: keyring.verify_keys())
    digest_key: bytes = field(default_factory=lambda: keyring.digest_key())
    started: float = field(default_factory=time.monotonic)

    def left(self) -> float:
        """Seconds of the budget."""
        return self.started + self.budget - time.monotonic()

    def run(self, rows: QuerySet[Publication]) -> Report:
        """Brings rows up to date, batch by batch, until none is left, the time is over, or etcd fails."""
        report, seen = Report(), 0
        ready = _ready(rows)
        # No batch is begun that could not be ended in time: a write cut short would look like a failure of etcd.
        while self.left() > self.budget / 3 and (batch := list(ready.filter(pk__gt=seen).order_by("pk")[:BATCH])):
            seen = batch[-1].pk
            try:
                report.done += self._deliver(self._render(batch))
            except CoordinationError as error:
                report.trouble = str(error)
                _postpone_all(batch, report.trouble)
                break
        return report

    def _render(self, rows: Sequence[Publication]) -> list[Letter]:
        rendered_at = time.monotonic()
        sources = rendering.read({row.pipeline for row in rows if not row.removal})
        editions.keep(source for source in sources.values() if not isinstance(source, Unreadable))
        nodes = Node.objects.in_bulk({row.node for row in rows if not row.removal})
        letters = []
        for row in rows:
            source = sources.get(row.pipeline)
            if isinstance(source, Unreadable) and not row.removal:
                _postpone(row, str(source))
            elif row.removal or (source is not None and source.generation == row.wanted and row.node in nodes):
                envelope = self._tombstone(row) if row.removal else self._document(row, source, nodes[row.node])
                key = self.keys.pipeline(str(row.node), str(row.pipeline))
                letters.append(Letter(row, key, envelope, rendered_at))
        return letters

    def _document(self, row: Publication, source: Source, node: Node) -> bytes:
        document = rendering.document(source, node, row.not_before, self.digest_key)
        return self.signer.sign("pipeline", documents.encode(document))

    def _tombstone(self, row: Publication) -> bytes | None:
        """None once the node has forgotten the pipeline: then the tombstone goes too."""
        if row.applied >= row.wanted:
            return None
        tombstone = Tombstone(pipeline=str(row.pipeline), node=str(row.node), generation=row.wanted, reason=row.removal)
        return self.signer.sign("pipeline", documents.encode(tombstone))

    def _deliver(self, letters: list[Letter]) -> int:
        """Writes what is not written yet; the number of rows brought up to date."""
        return sum(self._deliver_chunk(chunk) for chunk in chunks(letters, lambda letter: len(letter.envelope or b"")))

    def _deliver_chunk(self, letters: list[Letter]) -> int:
        try:
            return self._write(letters)
        except (LimitExceeded, InvalidRequest) as error:
            if len(letters) > 1:
                return sum(self._deliver_chunk([letter]) for letter in letters)
            _postpone(letters[0].row, str(error))
            return 0

    def _write(self, letters: list[Letter]) -> int:
        """Reads the keys, then writes by comparison with what was read; a lost race reads again."""
        done = 0
        found = self.gateway.transact([], _reads(letters), timeout=self._timeout()).results
        for _ in range(RACES):
            there, waiting = self._sort(letters, found)
            done += _record(there)
            if not waiting or self.left() <= 0:
                break
            letters = [letter for letter, _ in waiting]
            compares = [Compare.unchanged(letter.key, revision) for letter, revision in waiting]
            writes = [letter.operation() for letter in letters]
            outcome = self.gateway.transact(compares, writes, _reads(letters), timeout=self._timeout())
            if outcome.succeeded:
                return done + _record(letters)
            found = outcome.results
        return done

    def _sort(
        self, letters: Sequence[Letter], found: Sequence[tuple[KeyValue, ...]]
    ) -> tuple[list[Letter], list[tuple[Letter, int]]]:
        """What etcd shows already, and what is to be written over which mod_revision. The rest is dropped: too old,
        or etcd holds a newer generation, which the outbox then steps past."""
        there, waiting = [], []
        for letter, items in zip(letters, found, strict=True):
            current = items[0] if items else None
            held = self.generation(current)
            if held > letter.row.wanted:
                step_past(letter.row, held)
            elif self._shows(current, held, letter):
                there.append(letter)
            elif time.monotonic() - letter.rendered_at < STALE:
                waiting.append((letter, current.mod_revision if current else 0))
        return there, waiting

    def _shows(self, current: KeyValue | None, held: int, letter: Letter) -> bool:
        """Whether etcd shows already what it should."""
        if current is None or letter.envelope is None:
            return current is None and letter.envelope is None
        return held == letter.row.wanted and self.is_signed_now(current)

    def is_signed_now(self, item: KeyValue) -> bool:
        """Whether it names the key that signs now; what a former key signed is to be signed anew."""
        return crypto.signed_by(item.value) == self.signer.key_id

    def generation(self, current: KeyValue | None) -> int:
        """The generation of the document under a key; 0 for none, and for one that is not ours or not in its place:
        nobody acts on that, so it is nothing to spare."""
        document = self.open(current) if current else None
        return document.generation if document else 0

    def open(self, item: KeyValue) -> documents.Document | None:
        """The document under a key, if the console signed it for this key."""
        try:
            body = crypto.verify("pipeline", item.value, self.verify_keys)
            document = documents.decode_document(body)
        except (crypto.Refused, DecodeError):
            return None
        in_place = item.key == self.keys.pipeline(document.node, document.pipeline)
        return document if in_place else None

    def _timeout(self) -> float:
        return min(CALL_TIMEOUT, max(self.left(), 0.01))


def _ready(rows: QuerySet[Publication]) -> QuerySet[Publication]:
    """Pending rows whose time has come. A node without a public key has not enrolled yet: its documents wait."""
    due = Q(retry_at=None) | Q(retry_at__lte=now())
    enrolled = Exists(Node.objects.filter(pk=OuterRef("node"), public_key__isnull=False))
    return rows.filter(due, ~Q(removal="") | enrolled, pending=True)


def _reads(letters: Iterable[Letter]) -> list[Operation]:
    return [Get(letter.key) for letter in letters]


def chunks(items: Iterable[T], size_of: Callable[[T], int]) -> Iterator[list[T]]:
    """Runs of items that fit into one transaction, by their number and their size in bytes."""
    chunk: list[T] = []
    size = 0
    for item in items:
        length = size_of(item)
        if chunk and (size + length > BATCH_BYTES or len(chunk) == BATCH):
            yield chunk
            chunk, size = [], 0
        chunk.append(item)
        size += length
    if chunk:
        yield chunk


def _record(letters: Iterable[Letter]) -> int:
    """Takes down what etcd now shows, unless the outbox has come to want something else meanwhile."""
    done = 0
    by_generation: dict[int, list[int]] = defaultdict(list)
    for letter in letters:
        done += 1
        if letter.envelope is None:
            Publication.objects.filter(pk=letter.row.pk, wanted=letter.row.wanted).delete()
        else:
            by_generation[letter.row.wanted].append(letter.row.pk)
    for generation, members in by_generation.items():
        rows = Publication.objects.filter(pk__in=members, wanted=generation)
        rows.update(published=generation, pending=False, error="", attempts=0, retry_at=None)
        # The node may have been quicker to report than we to take down.
        rows.exclude(removal="").filter(applied__gte=F("wanted")).update(pending=True)
    return done


def _postpone(row: Publication, error: str) -> None:
    """This row has a trouble of its own: it is tried again after longer and longer waits."""
    wait = timedelta(seconds=min(2.0 ** min(row.attempts, 16), RETRY_ROW_MOST))
    rows = Publication.objects.filter(pk=row.pk, wanted=row.wanted)
    rows.update(error=error[:500], attempts=F("attempts") + 1, retry_at=now() + wait)


def _postpone_all(batch: Iterable[Publication], error: str) -> None:
    """etcd could not be used: whatever row comes next would fare the same."""
    rows = Publication.objects.filter(pk__in=[row.pk for row in batch], pending=True)
    rows.update(error=error[:500], attempts=F("attempts") + 1, retry_at=now() + timedelta(seconds=RETRY_STORE))
