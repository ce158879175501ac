"""Work that is ended from outside: when its limit counts, and what comes of it."""

import asyncio

import pytest

from tests.clock import FakeClock, settle
from workers.engine.interruption import Interrupted, Interruptible, Limit

pytestmark = pytest.mark.anyio


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"


async def test_a_limit_counts_from_when_the_work_begins() -> None:
    clock, since = FakeClock(), asyncio.Event()
    going = asyncio.create_task(Interruptible(clock).run(asyncio.Event().wait(), Limit(5, since, "too long")))
    await clock.advance(60)
    assert not going.done(), "it waits for its turn"
    since.set()
    await clock.advance(4.9)
    assert not going.done()
    await clock.advance(0.2)
    with pytest.raises(Interrupted, match="too long") as raised:
        await going
    assert raised.value.interruption.state == "timed_out"


async def test_without_seconds_there_is_no_limit() -> None:
    clock, since, done = FakeClock(), asyncio.Event(), asyncio.Event()
    since.set()
    going = asyncio.create_task(Interruptible(clock).run(done.wait(), Limit(0, since, "too long")))
    await clock.advance(10**6)
    done.set()
    await settle()
    assert await going
