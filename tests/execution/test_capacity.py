"""The gate for runs: how many at once, and who comes next."""

import asyncio

import pytest

from tests.clock import settle
from workers.engine.capacity import DEFAULT_CAPACITY, Capacity

pytestmark = pytest.mark.anyio


async def test_places_are_given_in_order() -> None:
    capacity = Capacity(2)
    order: list[int] = []

    async def work(number: int) -> None:
        await capacity.acquire()
        order.append(number)

    tasks = [asyncio.create_task(work(number)) for number in range(5)]
    await settle()
    assert (order, capacity.running, capacity.waiting, capacity.full) == ([0, 1], 2, 3, True)
    assert capacity.waiting_reason() == "waiting for a free place (2 of 2 in use)"
    for expected in ([0, 1, 2], [0, 1, 2, 3], [0, 1, 2, 3, 4]):
        capacity.release()
        await settle()
        assert order == expected
    capacity.release()
    capacity.release()
    assert (capacity.running, capacity.full) == (0, False)
    await asyncio.gather(*tasks)


async def test_nobody_slips_in_between() -> None:
    capacity = Capacity(1)
    await capacity.acquire()
    waiting = asyncio.create_task(capacity.acquire())
    await settle()
    capacity.release()
    assert not capacity.try_acquire()
    await waiting
    assert capacity.running == 1


async def test_who_gives_up_waiting_takes_no_place() -> None:
    capacity = Capacity(1)
    await capacity.acquire()
    impatient = asyncio.create_task(capacity.acquire())
    patient = asyncio.create_task(capacity.acquire())
    await settle()
    impatient.cancel()
    await settle()
    assert capacity.waiting == 1
    capacity.release()
    await patient
    assert capacity.running == 1


async def test_who_gives_up_at_the_moment_of_being_served_gives_it_on() -> None:
    capacity = Capacity(1)
    await capacity.acquire()
    impatient = asyncio.create_task(capacity.acquire())
    patient = asyncio.create_task(capacity.acquire())
    await settle()
    capacity.release()
    impatient.cancel()
    await patient
    assert capacity.running == 1


async def test_the_default() -> None:
    assert Capacity().limit == DEFAULT_CAPACITY == 256
