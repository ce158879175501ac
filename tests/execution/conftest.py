"""Real hands with a short grace; every test is checked for processes that it left behind."""

import os
import time
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest

from tests.execution.bench import OWN, Bench
from workers.engine.clock import SystemClock
from workers.engine.guard import Guard
from workers.engine.hands import Hands
from workers.engine.output import Flusher
from workers.engine.processes import snapshot


@pytest.fixture
def anyio_backend() -> str:
    """The engine runs on asyncio."""
    return "asyncio"


@pytest.fixture(autouse=True)
def _nothing_left() -> Iterator[None]:
    """No process of any run outlives its test."""
    yield
    deadline = time.monotonic() + 30
    # What was just killed may still be on its way out.
    while left := [process.pid for process in snapshot() if process.run.startswith(OWN)]:
        assert time.monotonic() < deadline, left
        time.sleep(0.02)


@pytest.fixture
async def bench(tmp_path: Path) -> AsyncIterator[Bench]:
    """Runs pipelines with real runners and a real guard."""
    clock = SystemClock()
    guard = Guard(clock)
    guard.start()
    environ = {"PATH": os.environ["PATH"], "WORKER_SECRET": "never passed on"}
    hands = Hands(clock=clock, scratch=tmp_path / "scratch", environ=environ, guard=guard, grace=0.5)
    # So that a test need not wait a second for the first sign of life.
    hands.flusher = Flusher(clock, 0.02)
    yield Bench(clock, hands)
    await hands.close()
    await guard.close()
