"""One real etcd for all tests that do not harm it, and the adapters under the contract suite."""

from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from uuid import uuid4

import pytest

from tests.coordination.stores import EtcdHarness, Harness, MemoryHarness
from tests.etcd_server import EtcdServer, running

QUICK = ("--heartbeat-interval", "50", "--election-timeout", "500")
"""Leases may be as short as a second with these."""


@pytest.fixture(scope="session")
def anyio_backend() -> str:
    return "asyncio"


@pytest.fixture(scope="session", autouse=True)
async def one_event_loop(anyio_backend: str) -> None:
    """All tests share an event loop: ``grpc.aio`` has one poller a process, which may deliver the end of a cancelled
    call after the loop of the test that made it is closed."""


@pytest.fixture(scope="session")
def etcd(tmp_path_factory: pytest.TempPathFactory) -> Iterator[EtcdServer]:
    """An etcd shared by all tests: use keys of your own, and leave it running."""
    with running(tmp_path_factory.mktemp("etcd"), options=QUICK) as server:
        yield server


@pytest.fixture
def own_etcd(tmp_path: Path) -> Iterator[EtcdServer]:
    """An etcd for one test, which may kill it."""
    with running(tmp_path / "etcd", options=QUICK) as server:
        yield server


@pytest.fixture(params=["memory", "etcd", "blocking memory", "blocking etcd"])
async def store(request: pytest.FixtureRequest) -> AsyncIterator[Harness]:
    """Every adapter in turn."""
    harness = _harness(request)
    yield harness
    await harness.gateway.close()


@pytest.fixture(params=["memory", "etcd"])
async def live_store(request: pytest.FixtureRequest) -> AsyncIterator[Harness]:
    """The asyncio adapters: only they watch and keep alive."""
    harness = _harness(request)
    yield harness
    await harness.gateway.close()


def _harness(request: pytest.FixtureRequest) -> Harness:
    prefix = f"/test-{uuid4()}/"
    blocking = request.param.startswith("blocking")
    if request.param.endswith("memory"):
        return MemoryHarness(prefix, blocking)
    return EtcdHarness(prefix, request.getfixturevalue("etcd"), blocking)
