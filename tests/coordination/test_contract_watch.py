"""What every asyncio adapter promises about watches: no gap, no repetition, whole revisions, a clear end."""

import asyncio
import random
from collections.abc import AsyncGenerator
from contextlib import aclosing

import pytest

from coordination.errors import Compacted, InvalidRequest
from coordination.gateway import Batch, Delete, Event, Put
from tests.coordination.stores import Harness, put

pytestmark = pytest.mark.anyio


async def events(watch: AsyncGenerator[Batch, None], last: int) -> list[Event]:
    """The events up to the revision ``last``, which is checked to arrive whole and in order."""
    found: list[Event] = []
    async with asyncio.timeout(60):
        while not found or found[-1].item.mod_revision < last:
            batch = await anext(watch)
            if batch.events:
                revisions = [event.item.mod_revision for event in batch.events]
                assert revisions == sorted(revisions)
                assert batch.revision == revisions[-1]
                assert not found or revisions[0] > found[-1].item.mod_revision, "a revision is torn or repeated"
                found.extend(batch.events)
    return found


def apply(state: dict[str, bytes], changes: list[Event]) -> dict[str, bytes]:
    """The keys after the changes."""
    for event in changes:
        if event.kind == "put":
            state[event.item.key] = event.item.value
        else:
            state.pop(event.item.key)
    return state


async def test_the_first_batch_says_that_the_watch_stands(live_store: Harness) -> None:
    revision = (await live_store.gateway.snapshot(live_store.prefix)).revision
    async with aclosing(live_store.gateway.watch(live_store.prefix, revision + 1)) as watch:
        assert await anext(watch) == Batch(revision, (), confirmed=True)


async def test_puts_and_deletions_arrive_with_their_revisions(live_store: Harness) -> None:
    a, b = live_store.prefix + "a", live_store.prefix + "b"
    start = await put(live_store.gateway, live_store.prefix + "before")
    async with aclosing(live_store.gateway.watch(live_store.prefix, start + 1)) as watch:
        first = await put(live_store.gateway, a, b"1")
        await live_store.gateway.transact([], [Put(a, b"2"), Put(b, b"")])
        await put(live_store.gateway, live_store.prefix[:-1] + "-elsewhere")
        last = (await live_store.gateway.transact([], [Delete(a)])).revision
        seen = await events(watch, last)
    assert [(e.kind, e.item.key, e.item.value, e.item.mod_revision) for e in seen] == [
        ("put", a, b"1", first),
        ("put", a, b"2", first + 1),
        ("put", b, b"", first + 1),
        ("delete", a, b"", last),
    ]
    assert [e.item.create_revision for e in seen] == [first, first, first + 1, 0]
    assert [e.item.version for e in seen] == [1, 2, 1, 0]


async def test_history_is_replayed_from_the_start_revision(live_store: Harness) -> None:
    revisions = [await put(live_store.gateway, f"{live_store.prefix}{n}") for n in range(5)]
    async with aclosing(live_store.gateway.watch(live_store.prefix, revisions[2])) as watch:
        seen = await events(watch, revisions[-1])
    assert [event.item.mod_revision for event in seen] == revisions[2:]


async def test_snapshot_and_watch_have_no_gap_under_concurrent_writes(live_store: Harness) -> None:
    """Four writers change ten keys; followers that start at any moment end with the same keys as the store."""
    random.seed(4)
    keys = [f"{live_store.prefix}{n}" for n in range(10)]
    done = asyncio.Event()

    async def write(writer: int) -> None:
        for turn in range(60):
            chosen = random.sample(keys, 3)
            value = f"{writer}.{turn}".encode()
            await live_store.gateway.transact([], [Put(chosen[0], value), Put(chosen[1], value), Delete(chosen[2])])
            await asyncio.sleep(0)

    async def track(wait: int) -> dict[str, bytes]:
        for _ in range(wait):
            await asyncio.sleep(0)
        snapshot = await live_store.gateway.snapshot(live_store.prefix)
        state = {item.key: item.value for item in snapshot.items}
        async with aclosing(live_store.gateway.watch(live_store.prefix, snapshot.revision + 1)) as watch:
            await done.wait()
            return apply(state, await events(watch, last))

    following = [asyncio.create_task(track(10 * n)) for n in range(6)]
    await asyncio.gather(*map(write, range(4)))
    last = await put(live_store.gateway, live_store.prefix + "end")
    done.set()
    expected = {item.key: item.value for item in (await live_store.gateway.snapshot(live_store.prefix)).items}
    for state in await asyncio.gather(*following):
        assert state == expected


async def test_large_revisions_arrive_whole(live_store: Harness) -> None:
    """More than the server sends in one message: etcd cuts the backlog into fragments in the middle of revisions."""
    value = bytes(250_000)
    start = 0
    for _ in range(6):
        puts = [Put(f"{live_store.prefix}{n}", value) for n in range(5)]
        last = (await live_store.gateway.transact([], puts)).revision
        start = start or last
    async with aclosing(live_store.gateway.watch(live_store.prefix, start)) as watch:
        seen = await events(watch, last)
    assert [e.item.mod_revision for e in seen] == [revision for revision in range(start, last + 1) for _ in range(5)]


async def test_the_end_of_a_lease_arrives_as_deletions_of_one_revision(live_store: Harness) -> None:
    lease = await live_store.gateway.grant(3)
    keys = [live_store.prefix + "a", live_store.prefix + "b"]
    outcome = await live_store.gateway.transact([], [Put(key, b"", lease.id) for key in keys])
    async with aclosing(live_store.gateway.watch(live_store.prefix, outcome.revision + 1)) as watch:
        await live_store.pass_time(lease.ttl)
        seen = await events(watch, outcome.revision + 1)
    assert [(e.kind, e.item.key) for e in seen] == [("delete", key) for key in keys]
    assert len({e.item.mod_revision for e in seen}) == 1


async def test_compacted_history_is_said_to_be_gone(live_store: Harness) -> None:
    start = await put(live_store.gateway, live_store.prefix + "a", b"1")
    await put(live_store.gateway, live_store.prefix + "a", b"2")
    compacted = await put(live_store.gateway, live_store.prefix + "a", b"3")
    await live_store.compact(compacted)
    watch = live_store.gateway.watch(live_store.prefix, start)
    with pytest.raises(Compacted) as caught:
        await events(watch, compacted)
    assert caught.value.compact_revision == compacted
    snapshot = await live_store.gateway.snapshot(live_store.prefix)
    assert [item.value for item in snapshot.items] == [b"3"]
    async with aclosing(live_store.gateway.watch(live_store.prefix, snapshot.revision + 1)) as again:
        last = await put(live_store.gateway, live_store.prefix + "b")
        assert [e.item.key for e in await events(again, last)] == [live_store.prefix + "b"]


async def test_a_running_watch_outlives_a_compaction(live_store: Harness) -> None:
    start = await put(live_store.gateway, live_store.prefix + "a")
    async with aclosing(live_store.gateway.watch(live_store.prefix, start)) as watch:
        await events(watch, start)
        last = await put(live_store.gateway, live_store.prefix + "b")
        await live_store.compact(last)
        last = await put(live_store.gateway, live_store.prefix + "c")
        assert [e.item.key[-1] for e in await events(watch, last)] == ["b", "c"]


async def test_a_watch_needs_a_revision_to_start_from(live_store: Harness) -> None:
    with pytest.raises(InvalidRequest, match="snapshot"):
        await anext(live_store.gateway.watch(live_store.prefix, 0))


async def test_closing_the_client_ends_its_watches(live_store: Harness) -> None:
    start = (await live_store.gateway.snapshot(live_store.prefix)).revision + 1
    waiting = asyncio.create_task(_drain(live_store.gateway.watch(live_store.prefix, start)))
    idle = live_store.gateway.watch(live_store.prefix, start)
    await anext(idle)
    await live_store.gateway.close()
    async with asyncio.timeout(60):
        await waiting
        await _drain(idle)


async def test_a_cancelled_reader_ends_its_watch_and_no_other(live_store: Harness) -> None:
    start = (await live_store.gateway.snapshot(live_store.prefix)).revision + 1
    cancelled = asyncio.create_task(_drain(live_store.gateway.watch(live_store.prefix, start)))
    async with aclosing(live_store.gateway.watch(live_store.prefix, start)) as other:
        await anext(other)
        cancelled.cancel()
        with pytest.raises(asyncio.CancelledError):
            await cancelled
        last = await put(live_store.gateway, live_store.prefix + "a")
        assert len(await events(other, last)) == 1


async def _drain(watch: AsyncGenerator[Batch, None]) -> None:
    async for _ in watch:
        pass
