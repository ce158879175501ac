"""Documents made short, and a place to run them on."""

import asyncio
import os
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime
from itertools import count
from typing import Any

from msgspec import structs

from coordination.documents import PipelineDocument, StepDocument, TaskDocument
from coordination.records import CutRecord, OutputRecord, RunRecord, StepRecord
from tests.clock import until
from workers.engine.clock import Clock
from workers.engine.execution import Execution, RunSpec
from workers.engine.hands import Hands
from workers.engine.processes import run_tree, snapshot

SCHEDULED = datetime(2026, 3, 1, 12, 30, tzinfo=UTC)

OWN = f"test-run-{os.getpid()}-"
"""What the runs of this process are called: other tests may be going on, on the same machine."""

_numbers = count()


def task(content: str = "", kind: str = "shell", **more: Any) -> TaskDocument:
    """A task named after its kind unless told otherwise."""
    more.setdefault("name", kind)
    return TaskDocument(id=7, kind=kind, content=content, **more)  # type: ignore[arg-type]


def step(content: str | TaskDocument = "", position: int = 1, **more: Any) -> StepDocument:
    """A shell step, or a step of the given task."""
    return StepDocument(task=task(content) if isinstance(content, str) else content, position=position, **more)


def pipeline(*steps: StepDocument | str, **more: Any) -> PipelineDocument:
    """A pipeline of these steps; texts are shell steps one after the other."""
    placed = [step(item, place) if isinstance(item, str) else item for place, item in enumerate(steps, 1)]
    return PipelineDocument(
        pipeline="11111111-1111-1111-1111-111111111111",
        node="22222222-2222-2222-2222-222222222222",
        generation=5,
        not_before=SCHEDULED,
        name="Nightly",
        schedule="@manual",
        steps=tuple(placed),
        **more,
    )


def taken(pieces: list[OutputRecord], record: OutputRecord | CutRecord) -> list[OutputRecord]:
    """The pieces with this one, or without what is cut."""
    if isinstance(record, OutputRecord):
        return [*pieces, record]
    return [rest for piece in pieces for rest in _without(piece, record)]


def _without(piece: OutputRecord, cut: CutRecord) -> list[OutputRecord]:
    if piece.index != cut.index or piece.offset + len(piece.data) <= cut.begin or piece.offset >= cut.end:
        return [piece]
    assert piece.offset >= cut.begin, "a piece on both sides of a cut's beginning"
    rest = piece.data[cut.end - piece.offset :]
    return [structs.replace(piece, data=rest, offset=cut.end)] if rest else []


class Journal:
    """Keeps everything in memory, in order; ``writing`` is called at each write of states."""

    def __init__(self) -> None:
        self.states: list[RunRecord | StepRecord] = []
        self.pieces: list[OutputRecord] = []
        self.writes: list[tuple[RunRecord | StepRecord, ...]] = []
        self.writing: Callable[[tuple[RunRecord | StepRecord, ...]], None] = lambda records: None

    async def state(self, *records: RunRecord | StepRecord) -> None:
        """As durable as a list can be."""
        self.writing(records)
        await asyncio.sleep(0)
        self.states += records
        self.writes.append(records)

    async def output(self, record: OutputRecord | CutRecord) -> None:
        """Takes a piece, or a cut."""
        await asyncio.sleep(0)
        self.pieces = taken(self.pieces, record)

    def steps(self) -> list[StepRecord]:
        """The last record of each step, by index."""
        last = {record.index: record for record in self.states if isinstance(record, StepRecord)}
        return [last[index] for index in sorted(last)]

    def output_of(self, index: int) -> bytes:
        """All pieces of a step, without regard for gaps."""
        return b"".join(piece.data for piece in self.pieces if piece.index == index)


@dataclass
class Done:
    """A run, going or over. ``begun``: the instants of which its worker was told."""

    run: str
    journal: Journal
    execution: Execution
    begun: list[datetime]
    record: RunRecord = field(init=False)

    @property
    def states(self) -> list[str]:
        """The last state of each step."""
        return [record.state for record in self.journal.steps()]

    def text(self, index: int = 0) -> str:
        """A step's output."""
        return self.journal.output_of(index).decode()

    def alive(self) -> list[int]:
        """Pids of the run's processes."""
        return [process.pid for process in run_tree({self.run}).living(snapshot())]

    async def says(self, text: str, index: int = 0) -> None:
        """Returns once the step's output has this text in it."""
        await until(lambda: text in self.text(index))


class Bench:
    """Runs documents."""

    def __init__(self, clock: Clock, hands: Hands) -> None:
        self.clock = clock
        self.hands = hands

    def prepare(self, document: PipelineDocument, secrets: dict[str, str] | None = None, **more: Any) -> Done:
        """An execution that has not begun. ``more`` goes to the RunSpec; ``cap`` is the output cap in bytes."""
        run = f"{OWN}{next(_numbers)}"
        cap = {"output_cap": more.pop("cap")} if "cap" in more else {}
        spec = RunSpec(run=run, trigger="manual", scheduled_at=SCHEDULED, node_name="alpha", **more)
        journal = Journal()
        begun: list[datetime] = []
        what = (document, spec, secrets or {}, journal, self.clock, self.hands)
        return Done(run, journal, Execution(*what, **cap, on_begun=begun.append), begun)

    async def run(self, document: PipelineDocument, secrets: dict[str, str] | None = None, **more: Any) -> Done:
        """A run from beginning to end."""
        done = self.prepare(document, secrets, **more)
        done.record = await done.execution.run()
        return done
