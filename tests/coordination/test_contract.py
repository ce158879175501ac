"""What every adapter promises about keys, transactions and leases."""

import asyncio
from typing import Any

import pytest

from coordination.errors import InvalidRequest, LeaseLost, LimitExceeded
from coordination.etcd.requests import PAGE
from coordination.gateway import Compare, Delete, Get, Put
from tests.coordination.stores import Harness, put

pytestmark = pytest.mark.anyio


async def test_a_key_is_read_as_it_was_written(store: Harness) -> None:
    key = store.prefix + "schlüssel/键"
    assert await store.gateway.get(key) is None
    created = await put(store.gateway, key, b"one")
    changed = await put(store.gateway, key, b"\x00\xff")
    item = await store.gateway.get(key)
    assert item is not None
    assert (item.key, item.value, item.lease) == (key, b"\x00\xff", 0)
    assert (item.create_revision, item.mod_revision, item.version) == (created, changed, 2)


async def test_a_snapshot_has_the_keys_below_the_prefix_and_no_others(store: Harness) -> None:
    for name in ("a", "a/2", "a/1", "a0", "b/1"):
        await put(store.gateway, store.prefix + name)
    snapshot = await store.gateway.snapshot(store.prefix + "a/")
    assert [item.key for item in snapshot.items] == [store.prefix + "a/1", store.prefix + "a/2"]
    last = await store.gateway.get(store.prefix + "b/1")
    assert last is not None
    assert snapshot.revision == last.mod_revision


async def test_an_empty_prefix_means_all_keys(store: Harness) -> None:
    await put(store.gateway, store.prefix + "a")
    assert store.prefix + "a" in [item.key for item in (await store.gateway.snapshot("")).items]


async def test_a_snapshot_of_many_pages_is_of_one_revision(store: Harness) -> None:
    """A marker moves between the first and the last page all the time; every snapshot has it exactly once."""
    keys = [f"{store.prefix}{n:05}" for n in range(PAGE + 100)]
    for start in range(0, len(keys), 100):
        await store.gateway.transact([], [Put(key, b"") for key in keys[start : start + 100]])
    ends = (keys[0], keys[-1])
    await put(store.gateway, ends[0], b"marker")

    async def move() -> None:
        for turn in range(40):
            here, there = ends[turn % 2], ends[1 - turn % 2]
            await store.gateway.transact([], [Put(here, b""), Put(there, b"marker")])
            await asyncio.sleep(0)

    moving = asyncio.create_task(move())
    revisions = set()
    while not moving.done():
        snapshot = await store.gateway.snapshot(store.prefix)
        assert [item.key for item in snapshot.items] == keys
        assert [item.value for item in snapshot.items].count(b"marker") == 1
        revisions.add(snapshot.revision)
        await asyncio.sleep(0)
    await moving
    assert len(revisions) > 1


async def test_a_transaction_takes_one_branch_and_answers_each_operation(store: Harness) -> None:
    a, b = store.prefix + "a", store.prefix + "b"
    write = [Put(a, b"1"), Put(b, b"2"), Get(store.prefix, prefix=True)]
    first = await store.gateway.transact([Compare.absent(a)], write, [Get(a)])
    assert first.succeeded
    assert first.results[:2] == ((), ())
    assert [(i.key, i.value, i.mod_revision) for i in first.results[2]] == [
        (a, b"1", first.revision),
        (b, b"2", first.revision),
    ]
    second = await store.gateway.transact([Compare.absent(a)], write, [Get(a), Delete(b)])
    assert not second.succeeded
    assert [i.value for i in second.results[0]] == [b"1"]
    assert second.results[1] == ()
    assert second.revision == first.revision + 1
    assert await store.gateway.get(b) is None


@pytest.mark.parametrize("target", ["create_revision", "mod_revision", "version", "lease"])
async def test_compares_of_numbers(store: Harness, target: Any) -> None:
    key = store.prefix + "a"
    lease = await store.gateway.grant(60)
    await put(store.gateway, key)
    await put(store.gateway, key, b"", lease.id)
    item = await store.gateway.get(key)
    number = getattr(item, target)
    for operator, operand, expected in (
        *(("=", number, True), ("=", number + 1, False), ("!=", number, False), ("!=", number + 1, True)),
        *((">", number - 1, True), (">", number, False), ("<", number + 1, True), ("<", number, False)),
    ):
        outcome = await store.gateway.transact([Compare(key, target, operator, operand)], [])  # type: ignore[arg-type]
        assert outcome.succeeded is expected, (operator, operand)
    absent = store.prefix + "absent"
    assert (await store.gateway.transact([Compare(absent, target, "=", 0)], [])).succeeded


async def test_compares_of_values(store: Harness) -> None:
    key = store.prefix + "a"
    await put(store.gateway, key, b"m")
    for operator, operand, expected in (
        *(("=", b"m", True), ("=", b"x", False), ("!=", b"x", True), ("!=", b"m", False)),
        *((">", b"a", True), (">", b"m", False), ("<", b"x", True), ("<", b"m", False)),
    ):
        outcome = await store.gateway.transact([Compare(key, "value", operator, operand)], [])  # type: ignore[arg-type]
        assert outcome.succeeded is expected, (operator, operand)
    for operator in ("=", "!="):
        compare = Compare(store.prefix + "absent", "value", operator, b"m")  # type: ignore[arg-type]
        assert not (await store.gateway.transact([compare], [])).succeeded


async def test_all_compares_must_hold(store: Harness) -> None:
    key = store.prefix + "a"
    revision = await put(store.gateway, key, b"1")
    good = [Compare.exists(key), Compare.unchanged(key, revision), Compare.holds(key, b"1")]
    assert (await store.gateway.transact(good, [])).succeeded
    for bad in (Compare.absent(key), Compare.unchanged(key, revision - 1), Compare.holds(key, b"2")):
        assert not (await store.gateway.transact([*good, bad], [])).succeeded


async def test_what_changes_nothing_makes_no_revision(store: Harness) -> None:
    before = await put(store.gateway, store.prefix + "a")
    outcome = await store.gateway.transact([], [Get(store.prefix + "a"), Delete(store.prefix + "absent")])
    assert outcome.revision == before


async def test_a_prefix_is_deleted_in_one_revision(store: Harness) -> None:
    for name in ("a/1", "a/2", "b"):
        await put(store.gateway, store.prefix + name)
    await store.gateway.transact([], [Delete(store.prefix + "a/", prefix=True)])
    assert [i.key for i in (await store.gateway.snapshot(store.prefix)).items] == [store.prefix + "b"]


async def test_of_two_that_create_a_key_one_wins(store: Harness) -> None:
    key = store.prefix + "a"
    tries = [store.gateway.transact([Compare.absent(key)], [Put(key, bytes([n]))]) for n in range(8)]
    winners = [n for n, outcome in enumerate(await asyncio.gather(*tries)) if outcome.succeeded]
    item = await store.gateway.get(key)
    assert item is not None
    assert [item.value] == [bytes([n]) for n in winners]


async def test_malformed_requests_are_refused(store: Harness) -> None:
    a = store.prefix + "a"
    for operations in (
        [Put(a, b"1"), Put(a, b"2")],
        [Delete(store.prefix, prefix=True), Put(a, b"1")],
        [Put("", b"1")],
    ):
        with pytest.raises(InvalidRequest):
            await store.gateway.transact([], operations)
    with pytest.raises(InvalidRequest):
        await store.gateway.get("")


async def test_limits_are_errors_of_their_own(store: Harness) -> None:
    puts = [Put(f"{store.prefix}{n}", b"") for n in range(129)]
    assert (await store.gateway.transact([], puts[:128])).succeeded
    with pytest.raises(LimitExceeded, match="128"):
        await store.gateway.transact([], puts)
    await put(store.gateway, store.prefix + "large", bytes(1_400_000))
    for size in (1_600_000, 5_000_000):
        with pytest.raises(LimitExceeded, match="send less"):
            await put(store.gateway, store.prefix + "large", bytes(size))


async def test_a_lease_takes_its_keys_along_when_it_ends(store: Harness) -> None:
    lease = await store.gateway.grant(3)
    assert lease.ttl >= 3
    await put(store.gateway, store.prefix + "leased", b"", lease.id)
    await put(store.gateway, store.prefix + "kept")
    leased = await store.gateway.get(store.prefix + "leased")
    assert leased is not None
    assert leased.lease == lease.id
    await store.pass_time(lease.ttl)
    async with asyncio.timeout(60):
        while await store.gateway.get(store.prefix + "leased") is not None:
            await asyncio.sleep(0.05)
    assert await store.gateway.get(store.prefix + "kept") is not None
    with pytest.raises(LeaseLost):
        await put(store.gateway, store.prefix + "leased", b"", lease.id)


async def test_revoking_deletes_at_once_and_may_be_repeated(store: Harness) -> None:
    lease = await store.gateway.grant(60)
    await put(store.gateway, store.prefix + "a", b"", lease.id)
    await store.gateway.revoke(lease.id)
    assert await store.gateway.get(store.prefix + "a") is None
    await store.gateway.revoke(lease.id)


async def test_a_key_written_anew_leaves_its_lease(store: Harness) -> None:
    old, new = await store.gateway.grant(60), await store.gateway.grant(60)
    await put(store.gateway, store.prefix + "a", b"", old.id)
    await put(store.gateway, store.prefix + "a", b"", new.id)
    await store.gateway.revoke(old.id)
    assert await store.gateway.get(store.prefix + "a") is not None


async def test_a_lease_lives_while_it_is_kept_alive(live_store: Harness) -> None:
    lease = await live_store.gateway.grant(2)
    key = live_store.prefix + "a"
    await put(live_store.gateway, key, b"", lease.id)
    loop = asyncio.get_running_loop()
    end = loop.time() + 1.5 * lease.ttl
    for _ in range(3):
        await live_store.pass_time(lease.ttl / 2)
        assert await live_store.gateway.keep_alive(lease.id) == lease.ttl
        assert await live_store.gateway.get(key) is not None
    if hasattr(live_store, "server"):
        while loop.time() < end:
            await live_store.gateway.keep_alive(lease.id)
            assert await live_store.gateway.get(key) is not None
            await asyncio.sleep(0.1)


async def test_keeping_a_lost_lease_alive_says_so(live_store: Harness) -> None:
    lease = await live_store.gateway.grant(60)
    await live_store.gateway.revoke(lease.id)
    with pytest.raises(LeaseLost):
        await live_store.gateway.keep_alive(lease.id)
    again = await live_store.gateway.grant(60)
    assert again.id != lease.id
    assert await live_store.gateway.keep_alive(again.id) == 60
