"""What a worker does with what the console wants of it: kept before it counts, and from nobody else."""

from pathlib import Path

import pytest
from msgspec import structs

from coordination import crypto, documents
from coordination.crypto import Signer
from coordination.documents import NodeDocument
from workers.engine import identity
from workers.engine.acceptance import Acceptance
from workers.engine.identity import Etcd, Identity
from workers.engine.orders import Orders

pytestmark = pytest.mark.anyio

SIGNER = Signer(b"s" * 32)
PRIVATE, PUBLIC = crypto.new_node_key()


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"


class Worker:
    """A node's identity on disk, and what came of its orders."""

    def __init__(self, state_dir: Path) -> None:
        self.state_dir = state_dir
        self.drained: list[bool] = []
        identity.save(
            state_dir,
            Identity(
                node="n",
                name="one",
                server_url="http://console",
                token="first",
                private_key=PRIVATE,
                verify_keys={SIGNER.key_id: SIGNER.verify_key},
                store=Etcd(endpoints=("e:1",), prefix="/ects"),
                machine_id="",
            ),
        )
        self.orders = self.start()

    def start(self) -> Orders:
        known = self.kept()
        return Orders(known, self.state_dir, Acceptance("n", known.verify_keys), self._drain)

    def kept(self) -> Identity:
        known = identity.load(self.state_dir, "")
        assert known is not None
        return known

    async def _drain(self, draining: bool) -> None:
        self.drained.append(draining)


def word(generation: int, *, signer: Signer = SIGNER, **more: object) -> str:
    document = structs.replace(NodeDocument(node="n", generation=generation, name="one"), **more)
    return signer.sign("node", documents.encode(document)).decode()


@pytest.fixture
def worker(tmp_path: Path) -> Worker:
    return Worker(tmp_path)


async def test_a_node_learns_its_name_and_drains_over_a_restart(worker: Worker) -> None:
    await worker.orders.told(word(5, name="two", draining=True))
    await worker.orders.told(word(5, name="two", draining=True))
    assert (worker.orders.name, worker.orders.draining, worker.orders.generation) == ("two", True, 5)
    assert worker.drained == [True]
    again = worker.start()
    assert (again.name, again.draining, again.generation) == ("two", True, 5)
    await again.told(word(6, name="two"))
    assert worker.drained == [True, False]
    assert not worker.kept().draining


async def test_a_new_token_is_kept_before_it_is_used(worker: Worker) -> None:
    await worker.orders.told(word(5, token=crypto.seal(PUBLIC, "second")))
    assert worker.orders.token == worker.kept().token == "second"
    assert worker.kept().former_token == "first"
    await worker.orders.told(word(6, token=crypto.seal(PUBLIC, "second"), draining=True))
    await worker.orders.told(word(7))
    assert (worker.kept().token, worker.kept().former_token) == ("second", "first")


async def test_a_console_that_was_restored_is_offered_the_token_before(worker: Worker) -> None:
    worker.orders.rejected()
    assert worker.orders.token == "first", "there is no other"
    await worker.orders.told(word(5, token=crypto.seal(PUBLIC, "second")))
    worker.orders.rejected()
    assert worker.orders.token == "first"
    worker.orders.rejected()
    assert worker.orders.token == "second"


@pytest.mark.parametrize(
    ("wrong", "why"),
    [
        (word(5, signer=Signer(b"x" * 32), draining=True), "does not know"),
        (word(5, node="m", draining=True), "meant for node m"),
        (word(3, draining=True), "older"),
        (word(5, format=99, draining=True), "update the worker"),
        (SIGNER.sign("config", documents.encode(NodeDocument(node="n", generation=5, name="x"))).decode(), "signature"),
        (word(5, token=crypto.seal(crypto.new_node_key()[1], "second"), draining=True), "sealed for another"),
        ("nonsense", "not a signed document"),
    ],
)
async def test_what_is_not_for_it_changes_nothing_and_is_told(worker: Worker, wrong: str, why: str) -> None:
    await worker.orders.told(word(4))
    await worker.orders.told(wrong)
    assert (worker.orders.token, worker.orders.draining, worker.orders.generation) == ("first", False, 4)
    assert why in worker.orders.incidents()[0]
    await worker.orders.told(word(6))
    assert worker.orders.incidents() == ()


async def test_a_disk_that_keeps_nothing_stops_a_new_token_but_no_drain(worker: Worker) -> None:
    identity_file = worker.state_dir / identity.FILE
    identity_file.rename(worker.state_dir / "away")
    await worker.orders.told(word(5, token=crypto.seal(PUBLIC, "second"), draining=True))
    assert (worker.orders.token, worker.orders.generation) == ("first", 0), "the console will say it again"
    assert worker.drained == [True]
    assert "cannot be kept" in worker.orders.incidents()[0]
    (worker.state_dir / "away").rename(identity_file)
    await worker.orders.told(word(5, token=crypto.seal(PUBLIC, "second"), draining=True))
    assert (worker.orders.token, worker.orders.generation, worker.drained) == ("second", 5, [True])
