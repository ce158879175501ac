"""The supervisor with real child processes: restarts, the order of stopping, and no orphan, however it ends."""

import asyncio
import contextlib
import os
import signal
import sys
from collections.abc import Awaitable, Callable
from pathlib import Path

import pytest

from ects_site.supervisor import Supervisor
from tests.etcd_server import wait_until
from tests.site.processes import environment, is_alive, kill, running, wait_for_line

STUBBORN = 'trap "" TERM; echo $$ > "$1"; while :; do sleep 0.05; done'
POLITE = 'trap "echo $1 >> $2; exit" TERM; echo $$ > "$2.$1"; while :; do sleep 0.05; done'


def _sh(script: str, *arguments: object) -> list[str]:
    return ["sh", "-c", script, "sh", *map(str, arguments)]


async def _until(condition: Callable[[], object]) -> None:
    async with asyncio.timeout(60):
        while not condition():
            await asyncio.sleep(0.01)


def _run(work: Callable[[Supervisor], Awaitable[None]], grace: float = 20.0) -> list[str]:
    """Runs ``work`` with a supervisor that is stopped afterwards; the lines it has shown."""
    shown: list[str] = []

    async def main() -> None:
        keeper = Supervisor(shown.append, grace)
        try:
            await work(keeper)
        finally:
            await keeper.stop()

    asyncio.run(main())
    return shown


def _pid(path: Path) -> int:
    return int(wait_until(lambda: path.exists() and path.read_text().strip(), f"a pid in {path}"))


def test_a_child_that_ends_is_started_again_after_growing_pauses(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    starts = tmp_path / "starts"

    async def work(keeper: Supervisor) -> None:
        await keeper.start("one", _sh('echo up >> "$1"; exit 3', starts), os.environ)
        await _until(lambda: starts.exists() and len(starts.read_text().split()) == 3)

    _run(work)
    told = [record.getMessage() for record in caplog.records if "starting it again" in record.getMessage()]
    assert [line.rpartition("in ")[2] for line in told[:2]] == ["0.3 s", "0.6 s"]
    assert "one ended with status 3" in told[0]


def test_a_child_killed_from_outside_is_started_again_and_its_group_goes(tmp_path: Path) -> None:
    leader, member = tmp_path / "leader", tmp_path / "member"
    script = 'sleep 300 & echo $! > "$2"; echo $$ > "$1"; wait'

    async def work(keeper: Supervisor) -> None:
        await keeper.start("one", _sh(script, leader, member), os.environ)
        await _until(lambda: leader.exists() and leader.read_text())
        first, left_over = _pid(leader), _pid(member)
        os.kill(first, signal.SIGKILL)
        await _until(lambda: _pid(leader) != first)
        await _until(lambda: not is_alive(left_over))

    _run(work)
    assert not is_alive(_pid(leader))


def test_the_youngest_stops_first(tmp_path: Path) -> None:
    order = tmp_path / "order"

    async def work(keeper: Supervisor) -> None:
        for name in ("a", "b", "c"):
            await keeper.start(name, _sh(POLITE, name, order), os.environ)
            await _until((tmp_path / f"order.{name}").exists)

    _run(work)
    assert order.read_text().split() == ["c", "b", "a"]


def test_one_that_does_not_stop_is_killed_after_the_grace(tmp_path: Path) -> None:
    pid = tmp_path / "pid"

    async def work(keeper: Supervisor) -> None:
        await keeper.start("stubborn", _sh(STUBBORN, pid), os.environ)
        await _until(pid.exists)

    _run(work, grace=0.3)
    assert not is_alive(_pid(pid))


def test_the_second_request_kills_at_once(tmp_path: Path) -> None:
    pid = tmp_path / "pid"

    async def work(keeper: Supervisor) -> None:
        await keeper.start("stubborn", _sh(STUBBORN, pid), os.environ)
        await _until(pid.exists)
        keeper.request_stop()
        stopping = asyncio.create_task(keeper.stop())
        await asyncio.sleep(0)
        assert is_alive(_pid(pid))
        keeper.request_stop()
        try:
            async with asyncio.timeout(10):
                await stopping
        finally:
            with contextlib.suppress(ProcessLookupError):
                os.kill(_pid(pid), signal.SIGKILL)

    _run(work, grace=1000)
    assert not is_alive(_pid(pid))


def test_lines_carry_the_childs_name_also_from_errors_and_without_an_end(tmp_path: Path) -> None:
    async def work(keeper: Supervisor) -> None:
        await keeper.start("web", _sh('echo good; echo bad >&2; printf no-end; touch "$1"', tmp_path / "x"), os.environ)
        await _until((tmp_path / "x").exists)

    shown = _run(work)
    wait_until(lambda: len(shown) >= 3, "three lines")
    assert shown[:3] == ["   web | good", "   web | bad", "   web | no-end"]


def test_a_child_does_not_block_when_nobody_reads(tmp_path: Path) -> None:
    def show(line: str) -> None:
        raise BrokenPipeError

    async def work() -> None:
        keeper = Supervisor(show)
        script = 'yes | head -c 1000000; touch "$1"; sleep 300'
        await keeper.start("loud", _sh(script, tmp_path / "done"), os.environ)
        await _until((tmp_path / "done").exists)
        await keeper.stop()

    asyncio.run(work())


@pytest.fixture
def family(tmp_path: Path):
    """A supervisor in a process of its own, with two children."""
    command = [sys.executable, "-m", "tests.site.family", str(tmp_path)]
    with running(tmp_path / "log", command, environment(tmp_path)) as process:
        children = [_pid(tmp_path / name) for name in ("first", "second")]
        wait_for_line(tmp_path / "log", "ready")
        yield process, children


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT, signal.SIGHUP])
def test_a_signal_stops_all(family, number: signal.Signals) -> None:
    process, children = family
    process.send_signal(number)
    assert process.wait(120) == 0
    assert not any(map(is_alive, children))


def test_kill_9_of_the_supervisor_leaves_no_orphan(family) -> None:
    process, children = family
    assert all(map(is_alive, children))
    kill(process)
    wait_until(lambda: not any(map(is_alive, children)), "the children have ended")
