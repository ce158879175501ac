"""The output of a step on its way to the journal: secrets hidden, in pieces, bounded in memory and in size."""

import asyncio
import logging
from collections.abc import Awaitable, Callable

from coordination.records import CutRecord, OutputRecord
from workers.engine.clock import Clock
from workers.engine.masking import Masker, Secrets

log = logging.getLogger(__name__)

DEFAULT_CAP = 1 << 20
"""Bytes kept of a step's output: the first and the last half of so much."""

PIECE = 64 * 1024
"""Bytes after which a piece is handed on at once."""

FLUSH_INTERVAL = 1.0
"""Seconds after which a smaller piece is handed on."""


class StepOutput:
    """Takes what one step writes, over all its tries. ``close`` it once, at the end.

    ``total`` counts the bytes written, after secrets are hidden; offsets are positions in that stream. ``dropped`` is
    known after ``close``. The first bytes up to the cap are handed on as they come: should the worker die, they are
    not lost. What lies beyond is held until the end, since only then is it known what the last half of the cap is; it
    costs at most the cap in memory. A cut then takes back what was handed on of the middle.
    """

    def __init__(
        self,
        run: str,
        index: int,
        *,
        deliver: Callable[[OutputRecord | CutRecord], Awaitable[None]],
        flusher: "Flusher",
        secrets: Secrets,
        cap: int = DEFAULT_CAP,
    ) -> None:
        self.total = 0
        self.dropped = 0
        self._run, self._index = run, index
        self._deliver, self._flusher = deliver, flusher
        self._masker = Masker(secrets)
        self._cap = cap
        self._half = cap // 2
        self._head = bytearray()
        self._tail = bytearray()
        self._number = 0
        self._sent = 0
        self._sending = asyncio.Lock()

    @property
    def full(self) -> bool:
        """Enough waits to be handed on: ``flush`` before writing more."""
        return len(self._head) >= PIECE

    def write(self, data: bytes) -> None:
        """Takes a piece of output, at most a few times ``PIECE`` bytes."""
        self._keep(self._masker.feed(data))

    async def flush(self) -> None:
        """Hands on what waits, and returns when it has been taken."""
        async with self._sending:
            self._flusher.forget(self)
            while self._head:
                # None lies on both sides of where a cut would begin.
                size = PIECE if self._sent >= self._half else min(PIECE, self._half - self._sent)
                data = bytes(self._head[:size])
                del self._head[:size]
                await self._send(self._sent, data)

    async def close(self) -> None:
        """Hands on all the rest: the last half of the cap if there was more."""
        self._keep(self._masker.finish())
        await self.flush()
        self._trim(self._half)
        if self.total > self._cap:
            await self._cut(self._half, min(self.total - self._half, self._cap))
        offset = self.total - len(self._tail)
        for start in range(0, len(self._tail), PIECE):
            await self._send(offset + start, bytes(self._tail[start : start + PIECE]))
        self._tail.clear()

    def _keep(self, data: bytes) -> None:
        room = max(self._cap - self.total, 0)
        self.total += len(data)
        if data[:room]:
            self._head += data[:room]
            self._flusher.watch(self)
        self._tail += data[room:]
        if len(self._tail) > 2 * self._half:
            self._trim(self._half)

    def _trim(self, size: int) -> None:
        excess = len(self._tail) - size
        if excess > 0:
            del self._tail[:excess]
            self.dropped += excess

    async def _cut(self, begin: int, end: int) -> None:
        self.dropped += end - begin
        await self._hand_on(CutRecord(run=self._run, index=self._index, begin=begin, end=end), 0)

    async def _send(self, offset: int, data: bytes) -> None:
        record = OutputRecord(run=self._run, index=self._index, number=self._number, offset=offset, data=data)
        self._number += 1
        self._sent = offset + len(data)
        await self._hand_on(record, len(data))

    async def _hand_on(self, record: OutputRecord | CutRecord, size: int) -> None:
        try:
            await self._deliver(record)
        except Exception:
            # The step goes on without this piece: its state matters more than its output.
            log.exception("output of step %d could not be handed on", self._index, extra={"run": self._run})
            self.dropped += size


class Flusher:
    """Hands on the small pieces of all steps once in a while, so that a running step can be followed.

    One task serves every step, and there is none while nothing waits: a short step costs no timer.
    """

    def __init__(self, clock: Clock, interval: float = FLUSH_INTERVAL) -> None:
        self._clock = clock
        self._interval = interval
        self._waiting: set[StepOutput] = set()
        self._task: asyncio.Task[None] | None = None

    def watch(self, output: StepOutput) -> None:
        """This one holds something that is to be handed on."""
        self._waiting.add(output)
        if self._task is None or self._task.done():
            self._task = asyncio.create_task(self._flush_regularly(), name="flush output")

    def forget(self, output: StepOutput) -> None:
        """This one is handing on by itself."""
        self._waiting.discard(output)

    async def close(self) -> None:
        """Ends the task. Steps must have been closed before."""
        if self._task is not None:
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)

    async def _flush_regularly(self) -> None:
        while self._waiting:
            await self._clock.sleep(self._interval)
            await asyncio.gather(*(output.flush() for output in list(self._waiting)))
