"""Whom a worker believes when the console's signing key is replaced, and what it does with what it has kept."""

import asyncio
import os
import stat
import time
from pathlib import Path

import pytest

from coordination import crypto, documents, trust
from coordination.crypto import Refused, Signer
from coordination.documents import SharedConfig
from coordination.gateway import KeyValue
from coordination.keys import Keys
from coordination.memory import MemoryGateway, MemoryStore
from coordination.trust import Notice
from workers.engine import identity
from workers.engine.acceptance import Acceptance
from workers.engine.clock import SystemClock
from workers.engine.identity import Etcd, Identity
from workers.engine.trust import Trust
from workers.engine.watcher import Watcher

FIRST, SECOND, THIRD, STRANGER = (Signer(bytes([number]) * 32) for number in range(1, 5))
CHAIN = (trust.link(FIRST, SECOND.verify_key), trust.link(SECOND, THIRD.verify_key))


def notice(signer: Signer, generation: int, *keys: Signer, links: tuple[bytes, ...] = CHAIN) -> Notice:
    return Notice(links=links, statement=trust.state(signer, generation, [key.verify_key for key in keys]))


def trusted(*keys: Signer) -> dict[str, bytes]:
    return {key.key_id: key.verify_key for key in keys}


def test_the_chain_leads_from_the_first_key_to_the_last() -> None:
    statement = trust.read(notice(THIRD, 7, THIRD), trusted(FIRST), 0)
    assert statement.by_id == trusted(THIRD)


def test_the_part_of_the_chain_that_a_node_has_forgotten_is_passed_over() -> None:
    assert trust.read(notice(THIRD, 7, THIRD), trusted(SECOND), 0).by_id == trusted(THIRD)


@pytest.mark.parametrize(
    ("told", "held", "why"),
    [
        (notice(STRANGER, 9, STRANGER), 0, "which this node does not know"),
        (notice(STRANGER, 9, STRANGER, links=(trust.link(STRANGER, STRANGER.verify_key),)), 0, "does not know"),
        (notice(THIRD, 7, THIRD, links=CHAIN[1:]), 0, "does not know"),
        (notice(FIRST, 6, FIRST), 7, "it is older"),
        (notice(FIRST, 8), 7, "no keys"),
        (Notice(statement=b"{}"), 0, "not a signed document"),
        (Notice(statement=FIRST.sign("config", b"{}")), 0, "does not match"),
        (Notice(statement=FIRST.sign("trust", b"{}")), 0, "is not understood"),
    ],
)
def test_what_is_not_believed(told: Notice, held: int, why: str) -> None:
    with pytest.raises(Refused, match=why):
        trust.read(told, trusted(FIRST), held)


@pytest.fixture
def mine(tmp_path: Path) -> Identity:
    made = Identity(
        node="n",
        name="n",
        server_url="http://127.0.0.1",
        token="t",
        private_key=os.urandom(32),
        verify_keys=trusted(FIRST),
        store=Etcd(endpoints=("127.0.0.1:1",), prefix="/ects"),
        machine_id="m",
    )
    identity.save(tmp_path, made)
    return made


def test_a_node_follows_and_keeps_what_it_learned(mine: Identity, tmp_path: Path) -> None:
    told: list[None] = []
    believed = Trust(mine, tmp_path, lambda: told.append(None))
    acceptance = Acceptance("n", believed.keys, believed.former)
    kept = FIRST.sign("config", documents.encode(SharedConfig(generation=1)))
    asyncio.run(believed.learn(notice(THIRD, 7, THIRD)))
    assert told == [None]
    loaded = identity.load(tmp_path, "m")
    assert loaded is not None
    assert (loaded.verify_keys, loaded.former_keys, loaded.trust_generation) == (trusted(THIRD), trusted(FIRST), 7)
    assert (loaded.token, loaded.private_key) == (mine.token, mine.private_key)
    assert stat.S_IMODE((tmp_path / identity.FILE).stat().st_mode) == 0o600
    with pytest.raises(Refused, match="does not know"):
        acceptance.config(kept, 0)
    assert acceptance.cached_config(kept) == SharedConfig(generation=1), "what it has taken before is still good"
    assert acceptance.config(THIRD.sign("config", documents.encode(SharedConfig(generation=2))), 1).generation == 2


def test_what_cannot_be_believed_changes_nothing_and_is_told(mine: Identity, tmp_path: Path) -> None:
    believed = Trust(mine, tmp_path, lambda: pytest.fail("it learned something"))
    asyncio.run(believed.learn(notice(STRANGER, 9, STRANGER)))
    assert believed.keys == trusted(FIRST)
    assert identity.load(tmp_path, "m") == mine
    assert "enrol the node again" in believed.incidents()[0]
    believed = Trust(mine, tmp_path, lambda: None)
    asyncio.run(believed.learn(notice(SECOND, 3, FIRST, SECOND)))
    assert believed.incidents() == ()


def test_a_watcher_that_is_to_look_again_shows_all_of_it_once_more() -> None:
    class Follower:
        def __init__(self) -> None:
            self.snapshots: list[list[str]] = []
            self.seen = asyncio.Event()

        async def snapshot(self, items: list[KeyValue]) -> None:
            self.snapshots.append([item.key for item in items])
            self.seen.set()

        async def events(self, events: object) -> None:
            """None comes here."""

    async def look() -> None:
        gateway = MemoryGateway(MemoryStore(time.monotonic), clock=time.monotonic)
        keys, follower = Keys(), Follower()
        watcher = Watcher(gateway, keys.nodes(), follower, SystemClock())
        running = asyncio.create_task(watcher.run())
        for _ in range(2):
            async with asyncio.timeout(60):
                await follower.seen.wait()
            follower.seen.clear()
            watcher.look_again()
        async with asyncio.timeout(60):
            await follower.seen.wait()
        running.cancel()
        assert len(follower.snapshots) == 3

    asyncio.run(look())


def test_a_link_is_no_statement_and_a_statement_no_link() -> None:
    with pytest.raises(Refused):
        crypto.verify("trust", CHAIN[0], trusted(FIRST))
    with pytest.raises(Refused):
        crypto.verify("key", notice(FIRST, 1, FIRST).statement, trusted(FIRST))
