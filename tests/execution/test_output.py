"""The output of a step: pieces, offsets, the gap in the middle, and the pace of whoever takes it."""

import asyncio

import pytest
from hypothesis import given
from hypothesis import strategies as st

from coordination.records import CutRecord, OutputRecord
from tests.clock import FakeClock, settle
from tests.execution.bench import taken
from workers.engine.masking import Secrets
from workers.engine.output import FLUSH_INTERVAL, PIECE, Flusher, StepOutput

pytestmark = pytest.mark.anyio


class Taker:
    """Takes pieces, when it is allowed to."""

    def __init__(self) -> None:
        self.pieces: list[OutputRecord] = []
        self.cuts: list[CutRecord] = []
        self.open = asyncio.Event()
        self.open.set()

    async def take(self, record: OutputRecord | CutRecord) -> None:
        """Takes one."""
        await self.open.wait()
        if isinstance(record, CutRecord):
            self.cuts.append(record)
        self.pieces = taken(self.pieces, record)

    @property
    def data(self) -> bytes:
        """All that was taken."""
        return b"".join(piece.data for piece in self.pieces)


def output(taker: Taker, clock: FakeClock, *secrets: str, cap: int = 1 << 20) -> StepOutput:
    """The output of some step."""
    return StepOutput("run", 3, deliver=taker.take, flusher=Flusher(clock), secrets=Secrets(secrets), cap=cap)


@given(sizes=st.lists(st.integers(0, 300), max_size=12), cap=st.integers(0, 900))
def test_kept_pieces_lie_where_they_say(sizes: list[int], cap: int) -> None:
    asyncio.run(_kept_pieces_lie_where_they_say(sizes, cap))


async def _kept_pieces_lie_where_they_say(sizes: list[int], cap: int) -> None:
    whole = bytes(index % 251 for index in range(sum(sizes)))
    taker, position = Taker(), 0
    step = output(taker, FakeClock(), cap=cap)
    for size in sizes:
        step.write(whole[position : position + size])
        position += size
    await step.close()
    assert step.total == len(whole)
    assert step.dropped == len(whole) - len(taker.data)
    assert len(taker.data) == (len(whole) if len(whole) <= cap else cap // 2 * 2)
    numbers = [piece.number for piece in taker.pieces]
    assert numbers == sorted(set(numbers))
    assert len(taker.cuts) == (len(whole) > cap)
    for piece in taker.pieces:
        assert whole[piece.offset :].startswith(piece.data)
    ends = [piece.offset + len(piece.data) for piece in taker.pieces]
    gaps = [piece.offset - end for piece, end in zip(taker.pieces[1:], ends, strict=False) if piece.offset != end]
    assert gaps == ([step.dropped] if step.dropped and cap >= 2 else [])


async def test_a_full_piece_is_handed_on_at_once() -> None:
    taker = Taker()
    step = output(taker, FakeClock())
    step.write(b"x" * (PIECE - 1))
    assert not step.full
    step.write(b"yz")
    assert step.full
    await step.flush()
    assert [len(piece.data) for piece in taker.pieces] == [PIECE, 1]


async def test_a_small_piece_is_handed_on_after_a_second() -> None:
    clock, taker = FakeClock(), Taker()
    step = output(taker, clock)
    step.write(b"hello")
    await clock.advance(FLUSH_INTERVAL * 0.9)
    assert taker.pieces == []
    await clock.advance(FLUSH_INTERVAL * 0.2)
    assert taker.data == b"hello"
    step.write(b" again")
    await clock.advance(FLUSH_INTERVAL * 2)
    assert [(piece.number, piece.offset, piece.data) for piece in taker.pieces] == [(0, 0, b"hello"), (1, 5, b" again")]


async def test_nothing_ticks_while_nothing_waits() -> None:
    clock, taker = FakeClock(), Taker()
    step = output(taker, clock)
    step.write(b"hello")
    await clock.advance(FLUSH_INTERVAL * 3)
    assert clock.sleeping == 0


async def test_offsets_count_what_is_shown() -> None:
    taker = Taker()
    step = output(taker, FakeClock(), "geheim")
    step.write(b"a geh")
    await step.flush()
    step.write(b"eim b")
    await step.close()
    assert [(piece.offset, piece.data) for piece in taker.pieces] == [(0, b"a "), (2, b"*** b")]
    assert step.total == 7


async def test_the_order_holds_when_the_taker_is_slow() -> None:
    clock, taker = FakeClock(), Taker()
    step = output(taker, clock)
    taker.open.clear()
    step.write(b"one ")
    first = asyncio.create_task(step.flush())
    await settle()
    step.write(b"two")
    second = asyncio.create_task(step.close())
    await settle()
    assert taker.pieces == []
    taker.open.set()
    await asyncio.gather(first, second)
    assert taker.data == b"one two"


async def test_what_cannot_be_handed_on_is_counted_and_the_step_goes_on() -> None:
    async def refuse(record: OutputRecord) -> None:
        raise OSError("disk full")

    step = StepOutput("run", 0, deliver=refuse, flusher=Flusher(FakeClock()), secrets=Secrets(()))
    step.write(b"12345")
    await step.close()
    assert (step.total, step.dropped) == (5, 5)
