"""The simulated world: virtual time, a store with etcd's semantics, and links that delay and lose."""

import hashlib
import heapq
import random
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

from coordination.errors import CoordinationError
from coordination.gateway import Event
from coordination.memory import MemoryStore

BASE = datetime(2030, 1, 1, tzinfo=UTC)
"""The wall clock at virtual second 0."""

TIMEOUT = 3.0
"""Seconds after which a caller gives up on a call."""


def wall(seconds: float) -> datetime:
    """The true wall clock at a virtual second."""
    return BASE + timedelta(seconds=seconds)


def seconds(instant: datetime) -> float:
    """The virtual second of a wall clock instant."""
    return (instant - BASE).total_seconds()


class World:
    """Events in the order of virtual time, one random source, and a trace whose hash identifies the run."""

    def __init__(self, seed: int, *, keep_trace: bool = False) -> None:
        self.random = random.Random(seed)
        self.now = 0.0
        self.lines: list[str] = []
        self.violations: list[str] = []
        self._keep = keep_trace
        self._hash = hashlib.blake2b(digest_size=16)
        self._heap: list[tuple[float, int, Callable[..., None], tuple[Any, ...]]] = []
        self._count = 0
        self._nonces = 0

    def at(self, when: float, function: Callable[..., None], *arguments: Any) -> None:
        """Call then; never earlier than now."""
        self._count += 1
        heapq.heappush(self._heap, (max(when, self.now), self._count, function, arguments))

    def after(self, delay: float, function: Callable[..., None], *arguments: Any) -> None:
        """Call after so many seconds."""
        self.at(self.now + delay, function, *arguments)

    def run(self, until: float) -> None:
        """Everything up to this second."""
        while self._heap and self._heap[0][0] <= until:
            self.now, _, function, arguments = heapq.heappop(self._heap)
            function(*arguments)

    def nonce(self) -> str:
        """A name never given before."""
        self._nonces += 1
        return f"x{self._nonces}"

    def trace(self, *what: object) -> None:
        """One line of what happened."""
        line = f"{self.now:.6f} " + " ".join(map(str, what))
        self._hash.update(line.encode())
        if self._keep:
            self.lines.append(line)

    def violate(self, what: str) -> None:
        """A promise is broken."""
        self.violations.append(f"{self.now:.3f}: {what}")
        self.trace("VIOLATION", what)

    @property
    def trace_hash(self) -> str:
        """Equal for equal runs."""
        return self._hash.hexdigest()


class Etcd:
    """The store, and who watches it. It forgets its history at once: a watcher that was cut off reads anew or gets
    what its own queue kept, as the link decides."""

    def __init__(self, world: World) -> None:
        self.world = world
        self.store = MemoryStore(lambda: world.now)
        self.watchers: list[Callable[[tuple[Event, ...]], None]] = []
        self._delivered = 1

    def publish(self) -> None:
        """Hands what has changed since the last time to the watchers."""
        revision = self.store.revision
        if self.store.unavailable or revision == self._delivered:
            return
        batch = self.store.changes("", self._delivered + 1) if revision > self._delivered else None
        self._delivered = revision
        if batch is not None:
            for watcher in self.watchers:
                watcher(batch.events)
        self.store.compact(revision)

    def wipe(self) -> None:
        """Starts it empty."""
        self.world.trace("etcd wiped")
        self.store.wipe()
        self._delivered = 1

    def tick(self) -> None:
        """Leases end even when nobody calls."""
        if not self.store.unavailable:
            self.store.expire()
            self.publish()
        self.world.after(1.0, self.tick)


class Link:
    """The way between one caller and etcd."""

    def __init__(self, world: World, etcd: Etcd) -> None:
        self.world = world
        self.etcd = etcd
        self.requests_lost = False
        self.replies_lost = False
        self.loss = 0.0
        self.slowness = 0.0

    def call(
        self,
        operation: Callable[[MemoryStore], Any],
        reply: Callable[[Any], None],
        fail: Callable[[CoordinationError | None], None],
    ) -> None:
        """``reply(result)``, or ``fail(error)``; error None: no answer in time, and nobody knows."""
        answered = [False]

        def give_up() -> None:
            if not answered[0]:
                answered[0] = True
                fail(None)

        def answer(result: Any, error: CoordinationError | None) -> None:
            if answered[0] or self.replies_lost or self.world.random.random() < self.loss:
                return
            answered[0] = True
            if error is None:
                reply(result)
            else:
                fail(error)

        def arrive() -> None:
            if self.requests_lost or self.etcd.store.unavailable:
                return
            try:
                result, error = operation(self.etcd.store), None
            except CoordinationError as failure:
                result, error = None, failure
            self.etcd.publish()
            self.world.after(self.delay(), answer, result, error)

        self.world.after(TIMEOUT, give_up)
        if self.world.random.random() >= self.loss:
            self.world.after(self.delay(), arrive)

    def delay(self) -> float:
        """Seconds one way."""
        chance = self.world.random.random()
        return 0.001 + 0.02 * chance + self.slowness * self.world.random.random() * chance
