"""A pipeline changes hands, between every node and one of them, at an instant that is the same everywhere."""

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from coordination import documents
from coordination.crypto import Signer
from coordination.documents import PipelineDocument, Tombstone
from coordination.gateway import KeyValue
from coordination.keys import Keys
from coordination.memory import MemoryGateway, MemoryStore
from workers.engine.acceptance import Acceptance
from workers.engine.clock import SystemClock
from workers.engine.definitions import Definitions
from workers.engine.journal import Journal
from workers.engine.occasions import occasions
from workers.engine.plan import Decision, Fire, Plan
from workers.engine.shared import Shared
from workers.engine.standing import Standing

pytestmark = pytest.mark.anyio

KEYS = Keys()
NOON = datetime(2026, 3, 1, 12, 0, 0, tzinfo=UTC)
NODE = "a5c1b0de-0000-4000-8000-000000000001"
PIPELINE = "5c9aa1ce-0000-4000-8000-000000000002"
SIGNER = Signer(bytes(range(32)))


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"


def at(seconds: float) -> datetime:
    return NOON + timedelta(seconds=seconds)


class SetClock(SystemClock):
    """The wall clock is where the test has set it."""

    def __init__(self) -> None:
        self.wall = NOON

    def now(self) -> datetime:
        return self.wall


class Node:
    """One life of a node over a journal on disk."""

    def __init__(self, journal: Journal, clock: SetClock) -> None:
        self.journal = journal
        self.clock = clock
        self.decisions: list[Decision] = []

    async def begin(self) -> None:
        await self.journal.open()
        self.plan = Plan(NODE, started_at=self.clock.now(), born=NOON, cursors=await self.journal.cursors())
        store = MemoryStore(self.clock.monotonic)
        self.shared = Shared(
            standing=Standing(NODE),
            keys=KEYS,
            gateway=MemoryGateway(store, clock=self.clock.monotonic),
            journal=self.journal,
            clock=self.clock,
            make_fires=occasions,
            known=await self.journal.remembered(),
            on_first=lambda: None,
        )
        self.definitions = Definitions(
            keys=KEYS,
            acceptance=Acceptance(NODE, {SIGNER.key_id: SIGNER.verify_key}),
            journal=self.journal,
            plan=self.plan,
            shared=self.shared,
            make_fires=occasions,
            carry_out=self._carry_out,
            clock=self.clock,
            generations=await self.journal.generations(),
        )
        await self.definitions.load_cache()

    async def end(self) -> None:
        await self.shared.close()
        await self.journal.close()

    async def _carry_out(self, decisions: Sequence[Decision]) -> None:
        self.decisions += decisions

    async def told(self, generation: int, **more: Any) -> None:
        """A document comes from etcd."""
        document = PipelineDocument(
            pipeline=PIPELINE, node=NODE, name="p", generation=generation, schedule="*/10 * * * * *", overlap="allow",
            **{"not_before": NOON, **more},
        )  # fmt: skip
        await self._put(document)

    async def told_to_forget(self, generation: int) -> None:
        await self._put(Tombstone(pipeline=PIPELINE, node=NODE, generation=generation, reason="disabled"))

    async def _put(self, document: PipelineDocument | Tombstone) -> None:
        key = KEYS.pipeline(NODE, PIPELINE)
        value = SIGNER.sign("pipeline", documents.encode(document))
        await self.definitions.snapshot([KeyValue(key, value, 1, document.generation, 1)])

    async def until(self, second: float) -> list[float]:
        """Time goes on; the seconds of the fires that the plan decided since then."""
        self.decisions.clear()
        while self.clock.wall < at(second):
            wakes = (self.plan.next_wake(), self.definitions.next_turn(), at(second))
            self.clock.wall = max(min(wake for wake in wakes if wake is not None), self.clock.wall)
            await self.definitions.turn(self.clock.wall)
            await self._carry_out(self.plan.due(self.clock.wall))
        fires = [decision for decision in self.decisions if isinstance(decision, Fire)]
        return [(fire.scheduled_at - NOON).total_seconds() for fire in fires]

    @property
    def holder(self) -> str:
        """Who fires it here, as far as is known now."""
        planned = "plan" if self.plan.document(PIPELINE) else ""
        shared = "shared" if self.shared.document(PIPELINE) else ""
        return "+".join(filter(None, (planned, shared)))


@pytest.fixture
async def node(tmp_path: Path) -> Any:
    clock = SetClock()
    it = Node(Journal(tmp_path / "journal.db", clock=clock), clock)
    await it.begin()
    yield it
    await it.end()


async def reborn(node: Node, path: Path) -> Node:
    """The same node after a restart, without etcd."""
    await node.end()
    again = Node(Journal(path / "journal.db", clock=node.clock), node.clock)
    await again.begin()
    # The fixture ends what is there at last.
    node.shared, node.journal = again.shared, again.journal
    return again


async def test_the_plan_fires_up_to_the_instant_and_not_after_it(node: Node) -> None:
    await node.told(1)
    assert await node.until(25) == [10, 20]
    await node.told(2, placement="one_sticky", not_before=at(45))
    assert node.holder == "plan+shared"
    assert await node.until(100) == [30, 40]
    assert node.holder == "shared"


async def test_back_again_before_it_took_effect(node: Node) -> None:
    """Both changes happen, each at its instant."""
    await node.told(1)
    await node.told(2, placement="one_sticky", not_before=at(35))
    await node.told(3, not_before=at(65))
    assert await node.until(100) == [10, 20, 30, 70, 80, 90, 100]


async def test_from_one_to_every(node: Node) -> None:
    await node.told(1, placement="one_spread")
    assert node.holder == "shared"
    await node.told(2, not_before=at(35))
    assert await node.until(60) == [40, 50, 60]
    assert node.holder == "plan"


async def test_a_change_that_comes_late_takes_effect_as_of_its_instant(node: Node) -> None:
    await node.told(1)
    await node.until(15)
    node.clock.wall = at(45)
    await node.told(2, placement="one_sticky", not_before=at(25))
    assert [d.scheduled_at for d in node.decisions if isinstance(d, Fire)] == [at(10), at(20)]
    assert node.holder == "shared"
    assert await node.until(80) == []


@pytest.mark.parametrize("before", ["every", "one_sticky"])
async def test_a_restart_meanwhile_forgets_neither_side(node: Node, tmp_path: Path, before: str) -> None:
    after = "one_sticky" if before == "every" else "every"
    await node.told(1, placement=before)
    await node.until(5)
    await node.told(2, placement=after, not_before=at(35))
    again = await reborn(node, tmp_path)
    expected = [10, 20, 30] if before == "every" else [40, 50, 60]
    assert await again.until(60) == expected
    assert again.holder == ("shared" if before == "every" else "plan")
    # And once it has taken effect, a restart knows the one that holds.
    once_more = await reborn(again, tmp_path)
    node.shared, node.journal = once_more.shared, once_more.journal
    assert once_more.holder == again.holder
    assert once_more.definitions.next_turn() is None


async def test_removed_meanwhile(node: Node) -> None:
    await node.told(1)
    await node.told(2, placement="one_sticky", not_before=at(35))
    node.clock.wall = at(5)
    await node.told_to_forget(int(at(5).timestamp() * 1000))
    assert node.definitions.next_turn() is None
    assert await node.until(60) == []
    assert node.holder == ""
