"""Runs whose right to go on ends, and what is said of them."""

import asyncio
import os
import time
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from coordination.records import RunRecord
from tests.clock import until
from tests.execution.bench import Bench, pipeline
from tests.execution.test_dispatch import EPOCH, Node
from workers.engine.claims_actions import Start
from workers.engine.clock import SystemClock
from workers.engine.fence import LATE, OVER, Fence
from workers.engine.guard import Guard
from workers.engine.processes import kill_runs
from workers.engine.shared_runs import SharedRuns

pytestmark = pytest.mark.anyio

HOUR = 3600.0


class Rights:
    """One shared run on a node, whose right to run ends an hour from now."""

    def __init__(self, node: Node, guard: Guard, directory: Path) -> None:
        self.now = SystemClock().boottime()
        self.deadline = self.now + HOUR
        self.ended: list[bool] = []
        self._gate = directory / "gate"
        self._node = node
        self.shared = SharedRuns(node.dispatcher, guard, lambda: self.now, self._has_ended)
        document = pipeline(f"until [ -e {self._gate} ]; do :; done")
        order = Start(node.run_of("a"), document, EPOCH, 1, "schedule", 7, "session", self.deadline)
        assert self.shared.start(order)

    def let_end(self) -> None:
        self._gate.touch()

    @property
    def record(self) -> RunRecord:
        return self._node.last(pipeline().pipeline)

    def _has_ended(self, pipeline: str, record: RunRecord, outlived: bool) -> None:
        self.ended.append(outlived)


@pytest.fixture
async def rights(bench: Bench, tmp_path: Path) -> AsyncIterator[Rights]:
    guard = Guard(SystemClock())
    guard.start()
    node = Node(bench, tmp_path, 2)
    rights = Rights(node, guard, tmp_path)
    node.on_ended = rights.shared.ended
    yield rights
    await node.dispatcher.drain(0)
    await guard.close()


@pytest.mark.parametrize(("left", "state", "reason"), [(HOUR, "failed", "ended by SIGKILL"), (-0.1, "killed", OVER)])
async def test_a_job_that_the_guard_has_ended_says_why(bench: Bench, left: float, state: str, reason: str) -> None:
    fence = Fence(7, bench.clock.boottime() + HOUR)
    done = bench.prepare(pipeline("echo begun; sleep 600", "echo never"), fence=fence)
    going = asyncio.create_task(done.execution.run())
    await done.says("begun")
    fence.deadline = bench.clock.boottime() + left
    await asyncio.to_thread(kill_runs, [done.run], time.sleep)
    record = await going
    assert record.state == state
    assert reason in record.reason
    assert done.states == [state, "skipped"]


@pytest.mark.parametrize(("renewed", "reason"), [(True, LATE), (False, OVER)])
async def test_a_program_that_would_begin_too_late_does_not(
    bench: Bench, tmp_path: Path, renewed: bool, reason: str
) -> None:
    fence = Fence(7, bench.clock.boottime() + 3)
    begun, waited = tmp_path / "begun", tmp_path / "waited"
    # Its start takes longer than its right lasts: the interpreter of the check reads from a pipe first.
    slow = tmp_path / "slow"
    os.mkfifo(slow)
    done = bench.prepare(pipeline(f"touch {begun}"), fence=fence)
    check = Fence.check

    def late(self: Fence) -> tuple[str, ...]:
        return ("/bin/sh", "-c", f'touch {waited}; read -r _ <{slow}; exec "$0" "$@"', *check(self))

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Fence, "check", late)
        going = asyncio.create_task(done.execution.run())
        await until(waited.exists)
    await until(lambda: fence.is_over(bench.clock.boottime()))
    if renewed:
        fence.deadline += HOUR
    slow.write_text("go on\n")
    record = await going
    assert (record.state, record.reason) == ("killed", reason)
    assert not begun.exists()


async def test_a_right_that_is_over_does_not_come_back(rights: Rights) -> None:
    rights.now = rights.deadline + 0.5
    rights.shared.renewed("session", rights.now + HOUR)
    await rights.shared.end_outlived()
    await until(lambda: rights.ended == [True])
    assert (rights.record.state, rights.record.reason) == ("killed", OVER)


async def test_a_right_that_was_renewed_in_time_goes_on(rights: Rights) -> None:
    rights.now = rights.deadline - 2
    rights.shared.renewed("session", rights.now + HOUR)
    rights.now = rights.deadline + 0.5
    await rights.shared.end_outlived()
    rights.let_end()
    await until(lambda: rights.ended == [False])
    assert rights.record.state == "succeeded"
