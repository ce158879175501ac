"""Runs on a node with few places: who begins when, who waits and says so, and how all of it ends. Real runs."""

from collections.abc import AsyncIterator, Callable
from datetime import UTC, datetime
from pathlib import Path

import pytest
from msgspec import structs

from coordination.documents import PipelineDocument
from coordination.records import RunRecord
from tests.clock import FakeClock, settle, until
from tests.execution.bench import OWN, Bench, Journal, pipeline
from workers.engine.capacity import Capacity
from workers.engine.dispatch import STOPPING, TELL_AFTER, Dispatcher
from workers.engine.execution import Execution, RunSpec
from workers.engine.plan import Fire, Plan

pytestmark = pytest.mark.anyio

EPOCH = datetime(2026, 1, 1, tzinfo=UTC)


class Node:
    """A dispatcher with so many places, on a clock that stands still; each run waits for a file of its name."""

    def __init__(self, bench: Bench, directory: Path, places: int) -> None:
        self.clock = FakeClock()
        self.journal = Journal()
        self.capacity = Capacity(places)
        self.ended: list[str] = []
        self.on_ended: Callable[[RunRecord], None] = lambda record: None
        self._bench, self._directory = bench, directory
        self.dispatcher = Dispatcher(
            plan=Plan("node", started_at=EPOCH, born=EPOCH, cursors={}),
            journal=self.journal,  # type: ignore[arg-type]
            capacity=self.capacity,
            make_execution=self._execution,
            clock=self.clock,
            on_ended=self._has_ended,
        )

    def _has_ended(self, record: RunRecord) -> None:
        self.ended.append(record.pipeline)
        self.on_ended(record)

    def _execution(self, document: PipelineDocument, spec: RunSpec) -> Execution:
        return Execution(document, spec, {}, self.journal, self._bench.clock, self._bench.hands)

    def run_of(self, name: str) -> str:
        return f"{OWN}{self._directory.name}-{name}"

    async def fire(
        self, names: str, content: Callable[[Path], str] = lambda path: f"until [ -e {path} ]; do :; done"
    ) -> None:
        """Fires a pipeline for each letter, at once."""
        fires = []
        for name in names:
            document = structs.replace(pipeline(content(self._directory / name)), pipeline=name)
            fires.append(Fire(document, self.run_of(name), EPOCH, "schedule"))
        await self.dispatcher.carry_out(fires)

    async def let_end(self, name: str) -> None:
        (self._directory / name).touch()
        await until(lambda: name in self.ended)

    def began(self) -> str:
        """The runs that began, in order. Those that have a place at once have none: their programs are started side by
        side."""
        names = [record.pipeline for record in self._records() if record.started_at and record.state == "running"]
        at_once = self.capacity.limit
        return "".join(sorted(names[:at_once]) + names[at_once:])

    def told(self) -> str:
        """The runs of which the ledger says that they wait."""
        return "".join(record.pipeline for record in self._records() if record.reason.startswith("waiting for a free"))

    def last(self, name: str) -> RunRecord:
        return [record for record in self._records() if record.pipeline == name][-1]

    def _records(self) -> list[RunRecord]:
        return [record for record in self.journal.states if isinstance(record, RunRecord)]


@pytest.fixture
async def node(bench: Bench, tmp_path: Path) -> AsyncIterator[Node]:
    """With two places."""
    node = Node(bench, tmp_path, 2)
    yield node
    await node.dispatcher.drain(0)


async def test_the_others_wait_and_begin_in_order(node: Node) -> None:
    await node.fire("abcd")
    await until(lambda: node.began() == "ab")
    assert (node.dispatcher.running, node.capacity.running, node.capacity.waiting) == (4, 2, 2)
    await node.let_end("b")
    await until(lambda: node.began() == "abc")
    await node.let_end("a")
    await until(lambda: node.began() == "abcd")
    await node.let_end("c")
    await node.let_end("d")
    assert (node.dispatcher.running, node.capacity.running) == (0, 0)


async def test_only_a_wait_of_some_length_is_told_and_once(node: Node) -> None:
    await node.fire("abcd")
    await until(lambda: node.began() == "ab")
    await node.clock.advance(TELL_AFTER / 2)
    await node.let_end("a")
    await until(lambda: node.began() == "abc")
    assert node.told() == ""
    await node.clock.advance(TELL_AFTER / 2)
    assert node.told() == "d"
    assert node.last("d").reason == "waiting for a free place (2 of 2 in use)"
    assert node.last("d").started_at is None
    await node.clock.advance(10 * TELL_AFTER)
    assert node.told() == "d"


async def test_later_ones_are_told_too(node: Node) -> None:
    await node.fire("abc")
    await until(lambda: node.began() == "ab")
    await node.clock.advance(TELL_AFTER / 2)
    await node.fire("d")
    await node.clock.advance(TELL_AFTER / 2)
    assert node.told() == "c"
    await node.clock.advance(TELL_AFTER)
    assert node.told() == "cd"


async def test_who_is_killed_while_waiting_never_begins(node: Node) -> None:
    await node.fire("abcd")
    await until(lambda: node.began() == "ab")
    assert await node.dispatcher.kill(node.run_of("c"), "not wanted any more")
    await until(lambda: node.ended == ["c"])
    assert (node.last("c").state, node.last("c").reason) == ("killed", "not wanted any more")
    await node.let_end("a")
    await until(lambda: node.began() == "abd")
    await node.clock.advance(2 * TELL_AFTER)
    assert node.told() == ""


async def test_who_is_killed_before_it_has_done_anything_starts_no_program(node: Node) -> None:
    await node.fire("a")
    assert await node.dispatcher.kill(node.run_of("a"), "at once")
    await until(lambda: node.ended == ["a"])
    assert (node.last("a").state, node.last("a").reason) == ("killed", "at once")
    assert node.capacity.running == 0


async def test_a_place_is_free_before_the_end_is_on_disk(node: Node) -> None:
    places = []
    node.journal.writing = lambda records: places.extend(
        node.capacity.running for record in records if isinstance(record, RunRecord) and record.state == "succeeded"
    )
    await node.fire("a", lambda path: "true")
    await until(lambda: node.ended == ["a"])
    assert places == [0]


async def test_a_stopping_worker_ends_those_that_wait_too(node: Node) -> None:
    await node.fire("abc")
    await until(lambda: node.began() == "ab")
    await node.dispatcher.drain(0)
    assert sorted(node.ended) == ["a", "b", "c"]
    assert {node.last(name).state for name in "abc"} == {"killed"}
    assert node.last("c").reason == STOPPING
    assert node.began() == "ab"
    await node.fire("d")
    await settle()
    assert node.dispatcher.running == 0


async def test_the_grace_is_for_those_that_wait_too(node: Node) -> None:
    await node.fire("abc", lambda path: "true")
    await node.dispatcher.drain(20)
    assert {node.last(name).state for name in "abc"} == {"succeeded"}
