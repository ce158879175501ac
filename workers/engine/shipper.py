"""Delivers the journal to the console: batches over HTTP, each stream in order, repeated until they are taken.

The server answers how far it has a stream; that answer, not the request, moves the journal's mark. So a lost reply
costs a repetition and nothing else, and a server that was restored from a backup gets again what it lacks.
"""

import asyncio
import gzip
import logging
import random
from collections.abc import Awaitable, Callable, Sequence
from datetime import datetime
from typing import Protocol

from msgspec import DecodeError, Raw

from coordination import records
from coordination.records import IngestBatch, IngestReply, NodeReport
from coordination.trust import Notice
from workers.engine.clock import Clock
from workers.engine.courier import Answer, Courier, Unreached
from workers.engine.journal import Journal
from workers.engine.journal_store import BATCH_BYTES

log = logging.getLogger(__name__)

GATHER = 0.05
"""Seconds to wait for more records before a batch is made, and after one that was not full."""

REPORT_EVERY = 10.0
"""Seconds after which a report goes out although there is nothing to deliver."""

FIRST_PAUSE = 0.2
LONGEST_PAUSE = 5.0
"""Seconds between two tries while the console does not take a batch: doubled from the first to the longest."""

REVOKED_PAUSE = 60.0
"""Seconds between two tries when the console does not know this node's token."""

MOST = 500
"""Records in one batch; halved while the server fails on a batch, so that one bad record is found."""

SKEW_SMOOTHING = 0.3
"""Weight of the newest measure of the clock's skew."""


class Recipient(Protocol):
    """Who this node is to the console, and who takes what the console answers."""

    @property
    def server_url(self) -> str: ...

    @property
    def token(self) -> str: ...

    def rejected(self) -> None:
        """The console does not know the token."""
        ...

    async def told(self, envelope: str) -> None:
        """What the console wants of this node, signed."""
        ...


class Observer(Protocol):
    """Who wants to know what deliveries tell."""

    def measured(self, skew: float) -> None:
        """This node's clock is so many seconds ahead of the server's."""
        ...

    def delivered(self, raw: Sequence[Raw]) -> None:
        """The console holds these records now."""
        ...


class _Refused(Exception):
    """The console did not take a batch; ``pause`` seconds until the next try."""

    def __init__(self, reason: str, pause: float | None = None, *, bisect: bool = False) -> None:
        super().__init__(reason)
        self.pause = pause
        self.bisect = bisect


class Shipper:
    """One worker's deliveries. ``report`` describes the node; it goes along with each batch. ``learn`` is told what the
    console says of its signing keys."""

    def __init__(
        self,
        journal: Journal,
        recipient: Recipient,
        courier: Courier,
        clock: Clock,
        report: Callable[[], NodeReport],
        observer: Observer,
        learn: Callable[[Notice], Awaitable[None]] | None = None,
    ) -> None:
        self._journal = journal
        self._recipient = recipient
        self._courier = courier
        self._clock = clock
        self._report = report
        self._observer = observer
        self._learn = learn
        self._most = MOST
        self._pause = FIRST_PAUSE
        self._trouble = ""
        self._has_more = False
        self._is_sure = False
        """Whether the server is known to have of each stream what this node believes."""
        self._reported = -REPORT_EVERY
        self.skew: float | None = None
        """Seconds by which this node's clock is ahead of the server's; None until it was measured."""
        self.delivered = self.set_aside = self.failures = 0
        """Records taken and refused by the console, batches that did not get through."""

    def incidents(self) -> tuple[str, ...]:
        """What keeps records from being delivered."""
        return (self._trouble,) if self._trouble else ()

    async def run(self) -> None:
        """Delivers for ever. Failures are retried; they show in ``incidents``."""
        while True:
            try:
                if not await self._deliver():
                    await self._rest()
                elif self._journal.is_in_need:
                    # What was delivered cannot be marked as such: it would be delivered again at once.
                    await self._clock.sleep(REPORT_EVERY)
                elif not self._has_more:
                    await self._clock.sleep(GATHER)
            except _Refused as refusal:
                await self._back_off(refusal)

    async def drain(self, seconds: float) -> None:
        """Delivers what there is, for so many seconds at the most. What is left is delivered after the next start."""
        try:
            async with asyncio.timeout(seconds):
                while await self._deliver():
                    pass
                await self._report_only()
        except _Refused as refusal:
            log.warning("not everything is delivered: %s; it will be after the next start", refusal)
        except TimeoutError:
            log.warning("not everything is delivered within %g s; it will be after the next start", seconds)

    # -- one round ----------------------------------------------------------------------------------------------

    async def _deliver(self) -> bool:
        """What there is of states and output, a batch of each. False: there was nothing to deliver.

        The states are read first and delivered last, so that an ending is not seen before the output that came
        before it; but a backlog of output does not hold back any ending.
        """
        if not self._is_sure:
            await self._ask_all()
        states = await self._journal.next_batch("state", self._most)
        output = await self._journal.next_batch("output", self._most)
        self._has_more = any(batch is not None and self._is_backlog(batch) for batch in (states, output))
        batches = [states, output] if output is not None and self._is_backlog(output) else [output, states]
        for batch in batches:
            if batch is not None:
                await self._ship(batch)
        return batches != [None, None]

    def _is_backlog(self, batch: IngestBatch) -> bool:
        """Whether there is more behind it."""
        return len(batch.records) >= self._most or sum(len(bytes(raw)) for raw in batch.records) >= BATCH_BYTES

    async def _rest(self) -> None:
        """Until there are records, or a report is due."""
        due = self._reported + REPORT_EVERY - self._clock.monotonic()
        if due <= 0:
            await self._report_only()
            return
        if await _within(self._clock, self._journal.wait_for_records, due):
            await self._clock.sleep(GATHER)

    async def _report_only(self) -> None:
        """Asks at the same time how far the server has this start's states: it may have been restored meanwhile."""
        *_, question, _output = await self._journal.questions()
        await self._ship(question)

    async def _ask_all(self) -> None:
        """How far the server has each stream that this node knows: after a start, and when it has one less far than it
        had, for then it was restored from a backup. What it lacks is delivered again."""
        self._is_sure = True
        for question in await self._journal.questions():
            await self._ship(question)

    async def _ship(self, batch: IngestBatch) -> None:
        reply = await self._post(
            IngestBatch(
                stream=batch.stream,
                kind=batch.kind,
                first=batch.first,
                records=batch.records,
                report=self._report(),
            )
        )
        if reply.refused is not None:
            log.error("the console refused record %d of stream %s: %s", reply.refused, batch.stream, reply.reason)
            await self._journal.set_aside(batch.stream, reply.refused, reply.reason)
            self.set_aside += 1
        if reply.sequence < batch.first - 1:
            log.warning("the console has stream %s up to %d of %d only", batch.stream, reply.sequence, batch.first - 1)
            self._is_sure = False
        await self._journal.acknowledge(batch.stream, reply.sequence)
        taken = batch.records[: max(reply.sequence - batch.first + 1, 0)]
        self.delivered += len(taken)
        if batch.kind == "state":
            self._observer.delivered(taken)
        if reply.sequence >= batch.first:
            self._most = min(MOST, self._most * 2)

    async def _post(self, batch: IngestBatch) -> IngestReply:
        sent_at, sent = self._clock.now(), self._clock.monotonic()
        body = gzip.compress(records.encode(batch), compresslevel=1)
        headers = {
            "Authorization": f"Node {self._recipient.token}",
            "Content-Type": "application/json",
            "Content-Encoding": "gzip",
        }
        try:
            answer = await self._courier.post(f"{self._recipient.server_url}/api/v1/ingest/", headers, body)
        except Unreached as error:
            raise _Refused(f"the console cannot be reached: {error}") from None
        reply = self._understood(answer)
        if reply.trust is not None and self._learn is not None:
            await self._learn(reply.trust)
        self._measure(reply.server_time, sent_at, self._clock.monotonic() - sent)
        self._trouble, self._pause = "", FIRST_PAUSE
        self._reported = self._clock.monotonic()
        if reply.node:
            await self._recipient.told(reply.node)
        return reply

    def _understood(self, answer: Answer) -> IngestReply:
        if answer.status in (401, 403):
            self._recipient.rejected()
            raise _Refused("the console does not accept this node's token: enrol the node again", REVOKED_PAUSE)
        if answer.status >= 500:
            raise _Refused(f"the console answers {answer.status}", bisect=True)
        try:
            return records.decode_reply(answer.content)
        except DecodeError:
            raise _Refused(f"the console's answer ({answer.status}) is not understood") from None

    def _measure(self, server_time: datetime, sent_at: datetime, took: float) -> None:
        """Compares the server's clock with the middle of the exchange (Cristian's algorithm, 1989)."""
        measured = (sent_at - server_time).total_seconds() + took / 2
        if self.skew is None or abs(measured - self.skew) > 1:
            self.skew = measured
        else:
            self.skew += SKEW_SMOOTHING * (measured - self.skew)
        self._observer.measured(self.skew)

    async def _back_off(self, refusal: _Refused) -> None:
        self.failures += 1
        if not self._trouble:
            log.warning("%s; results are kept and delivered later", refusal)
        since = self._trouble.rpartition(" since ")[2] or f"{self._clock.now():%Y-%m-%d %H:%M:%S} UTC"
        self._trouble = f"{refusal}; since {since}"
        if refusal.bisect:
            self._most = max(1, self._most // 2)
        pause = refusal.pause or self._pause
        self._pause = min(self._pause * 2, LONGEST_PAUSE)
        await self._clock.sleep(pause * random.uniform(0.8, 1.2))  # noqa: S311 - spreads retries, guards nothing


async def _within(clock: Clock, work: Callable[[], Awaitable[None]], seconds: float) -> bool:
    """Whether ``work`` ended within so many seconds; it is cancelled otherwise."""
    tasks = [asyncio.ensure_future(work()), asyncio.ensure_future(clock.sleep(seconds))]
    try:
        await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
        return tasks[0].done()
    finally:
        for task in tasks:
            task.cancel()
