"""At most one leads, somebody leads whenever that is possible, and who has lost the leadership stops at once."""

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import pytest

from coordination.election import Election
from coordination.errors import DeadlineExceeded, Unavailable
from coordination.etcd import AsyncEtcd
from coordination.gateway import EtcdSettings, Outcome
from coordination.memory import MemoryGateway, MemoryStore
from tests.clock import FakeClock, settle, until
from tests.etcd_server import EtcdServer

pytestmark = pytest.mark.anyio

KEY = "/elections/test"
TTL = 9.0


class Line(MemoryGateway):
    """A connection of one candidate, which can be cut, or lose the answers to what it carries."""

    cut = False
    lossy = False

    def _open(self) -> MemoryStore:
        if self.cut:
            raise Unavailable("the line is cut")
        return super()._open()

    async def transact(self, *arguments: Any, **options: Any) -> Outcome:
        outcome = await super().transact(*arguments, **options)
        if self.lossy:
            raise DeadlineExceeded("the answer was lost")
        return outcome


class Candidate:
    """Counts how often it leads."""

    def __init__(self, name: str, gateway: Any, **options: Any) -> None:
        self.gateway = gateway
        self.election = Election(gateway, KEY, name, **options)
        self.leading = False
        self.terms = 0
        self.finish: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self.task = asyncio.create_task(self.election.run(self.work))

    async def work(self) -> None:
        self.leading, self.terms = True, self.terms + 1
        try:
            await asyncio.shield(self.finish)
        finally:
            self.leading = False

    async def stop(self) -> None:
        self.task.cancel()
        await asyncio.gather(self.task, return_exceptions=True)


class Contest:
    """Candidates on one store and one clock."""

    def __init__(self) -> None:
        self.clock = FakeClock()
        self.store = MemoryStore(self.clock.monotonic)
        self.candidates: list[Candidate] = []

    async def enter(self, name: str) -> Candidate:
        line = Line(self.store, clock=self.clock.monotonic)
        options = {"clock": self.clock.monotonic, "sleep": self.clock.sleep, "ttl": TTL}
        self.candidates.append(Candidate(name, line, **options))
        await settle()
        return self.candidates[-1]

    @property
    def leaders(self) -> list[str]:
        return [str(n) for n, candidate in enumerate(self.candidates) if candidate.leading]

    async def advance(self, seconds: float) -> None:
        """Let time pass in small steps; never two lead."""
        for _ in range(round(seconds / 0.25)):
            await self.clock.advance(0.25)
            self.store.expire()
            await settle()
            assert len(self.leaders) <= 1


@pytest.fixture
async def contest() -> AsyncIterator[Contest]:
    contest = Contest()
    yield contest
    for candidate in contest.candidates:
        await candidate.stop()


async def test_one_leads_and_the_others_wait(contest: Contest) -> None:
    first, second, third = [await contest.enter(name) for name in "abc"]
    await contest.advance(5 * TTL)
    assert [c.leading for c in (first, second, third)] == [True, False, False]
    item = contest.store.get(KEY)
    assert item is not None
    assert item.value == b"a"
    assert first.election.revision == item.create_revision
    assert second.election.revision == 0


async def test_who_resigns_is_replaced_at_once(contest: Contest) -> None:
    first, second = [await contest.enter(name) for name in "ab"]
    await first.stop()
    await settle()
    assert (first.leading, second.leading) == (False, True)
    assert first.election.revision == 0


async def test_a_leader_that_is_cut_off_stops_before_another_leads(contest: Contest) -> None:
    first, second = [await contest.enter(name) for name in "ab"]
    await contest.advance(TTL)
    first.gateway.cut = True
    deadline = contest.store.next_expiry()
    assert deadline is not None
    while contest.clock.monotonic() < deadline:
        assert first.leading
        await contest.advance(0.25)
    assert not first.leading
    assert first.election.revision == 0
    await contest.advance(1)
    assert second.leading
    first.gateway.cut = False
    await contest.advance(3 * TTL)
    assert (first.terms, second.terms) == (1, 1)
    await second.stop()
    await contest.advance(1)
    assert (first.leading, first.terms) == (True, 2)


async def test_a_key_deleted_by_hand_ends_the_term(contest: Contest) -> None:
    first = await contest.enter("a")
    contest.store.wipe()
    await contest.advance(TTL)
    assert (first.leading, first.terms) == (True, 2)


async def test_a_victory_whose_answer_was_lost_is_recognised(contest: Contest) -> None:
    """The key was written, the candidate was not told: it leads nevertheless, since the key has its lease."""
    holder, candidate = [await contest.enter(name) for name in "ab"]
    candidate.gateway.lossy = True
    await holder.stop()
    await contest.advance(1)
    item = contest.store.get(KEY)
    assert item is not None
    assert (item.value, candidate.leading) == (b"b", False)
    candidate.gateway.lossy = False
    await contest.advance(1)
    assert candidate.leading
    assert candidate.election.revision == item.create_revision


async def test_an_absent_store_is_waited_for(contest: Contest) -> None:
    contest.store.unavailable = True
    candidate = await contest.enter("a")
    await contest.advance(3 * TTL)
    assert not candidate.leading
    contest.store.unavailable = False
    await contest.advance(2)
    assert candidate.leading


async def test_work_that_ends_ends_the_candidacy(contest: Contest) -> None:
    first, second = [await contest.enter(name) for name in "ab"]
    first.finish.set_result(None)
    await asyncio.wait_for(first.task, 60)
    await settle()
    assert second.leading


async def test_an_error_of_the_work_is_raised_after_resigning(contest: Contest) -> None:
    first, second = [await contest.enter(name) for name in "ab"]
    first.finish.set_exception(Unavailable("of the work, not of the election"))
    with pytest.raises(Unavailable, match="of the work"):
        await asyncio.wait_for(first.task, 60)
    await settle()
    assert second.leading


async def test_leaders_change_on_a_real_etcd(own_etcd: EtcdServer) -> None:
    """By resignation, and when etcd stops for longer than the lease lives."""
    loop = asyncio.get_running_loop()
    clients = [AsyncEtcd(EtcdSettings((own_etcd.endpoint,))) for _ in range(2)]
    candidates = [Candidate(str(n), client, clock=loop.time, ttl=1) for n, client in enumerate(clients)]
    await until(lambda: any(c.leading for c in candidates))
    leader, follower = sorted(candidates, key=lambda c: not c.leading)
    await leader.stop()
    await until(lambda: follower.leading)
    own_etcd.pause()
    await until(lambda: not follower.leading)
    own_etcd.resume()
    await until(lambda: follower.leading)
    await follower.stop()
    assert await clients[0].get(KEY) is None
    for client in clients:
        await client.close()
