"""The guard, with a worker that is killed, with a guard that is killed, and with deadlines."""

import asyncio
import os
import signal
import subprocess
import sys
import time
from collections.abc import AsyncIterator, Callable
from contextlib import suppress
from pathlib import Path

import pytest

from tests.clock import FakeClock, until
from tests.execution.bench import OWN
from workers.engine.clock import SystemClock
from workers.engine.guard import Guard
from workers.engine.processes import kill_runs, run_tree, snapshot

pytestmark = pytest.mark.anyio

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture
async def guard() -> AsyncIterator[Guard]:
    """A guard that is watched over, as in a worker."""
    guard = Guard(SystemClock())
    guard.start()
    watching = asyncio.create_task(guard.watch())
    yield guard
    watching.cancel()
    await asyncio.gather(watching, return_exceptions=True)
    await guard.close()


@pytest.fixture
async def job() -> AsyncIterator[Callable[[str], subprocess.Popen[bytes]]]:
    """Starts a job of a run, outside any runner."""
    started: list[subprocess.Popen[bytes]] = []

    def start(run: str) -> subprocess.Popen[bytes]:
        environ = {"ECTS_RUN_ID": run, "PATH": os.environ["PATH"]}
        started.append(subprocess.Popen(["sh", "-c", "trap '' TERM; sleep 600"], env=environ, start_new_session=True))
        return started[-1]

    yield start
    for popen in started:
        with suppress(ProcessLookupError):
            os.killpg(popen.pid, signal.SIGKILL)
        popen.wait()


def living(*runs: str) -> list[int]:
    """Pids of these runs."""
    return [process.pid for process in run_tree(runs).living(snapshot())]


def exists(pid: int) -> bool:
    """Whether there is such a process, no zombie."""
    return any(process.pid == pid for process in snapshot())


def _ignored(pid: int) -> set[int]:
    lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    mask = next(int(line.split()[1], 16) for line in lines if line.startswith("SigIgn:"))
    return {number for number in range(1, 65) if mask & (1 << (number - 1))}


async def test_no_job_survives_a_killed_worker() -> None:
    worker = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "tests.execution.worker_like", "20"), cwd=ROOT, stdout=asyncio.subprocess.PIPE
    )
    assert worker.stdout is not None
    try:
        guard_pid, over, *runs = (await worker.stdout.readline()).decode().split()
        assert len(living(*runs)) >= 40
    finally:
        worker.kill()
        await worker.wait()
    await until(lambda: not living(*runs))
    await until(lambda: not exists(int(guard_pid)))
    # What a finished run has left on purpose is none of the guard's business.
    assert len(kill_runs({over}, time.sleep).killed) == 1


async def test_a_worker_that_ends_in_peace_leaves_no_guard(guard: Guard, job: Callable[[str], object]) -> None:
    job(OWN + "peace")
    guard.register(OWN + "peace")
    guard.release(OWN + "peace")
    pid = guard.pid
    await guard.close()
    assert not exists(pid)
    assert living(OWN + "peace")


async def test_signals_meant_for_the_worker_do_not_end_it(guard: Guard, job: Callable[[str], object]) -> None:
    pid = guard.pid
    await until(lambda: _ignored(pid) >= {signal.SIGTERM, signal.SIGINT, signal.SIGHUP})
    for signum in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
        os.kill(pid, signum)
    guard.register(OWN + "after")
    job(OWN + "after")
    await guard.close()
    assert not living(OWN + "after")
    assert guard.pid == 0


async def test_a_dead_guard_is_replaced_and_knows_what_runs(guard: Guard, job: Callable[[str], object]) -> None:
    job(OWN + "kept")
    guard.register(OWN + "kept")
    first = guard.pid
    os.kill(first, signal.SIGKILL)
    guard.register(OWN + "while-away")
    job(OWN + "while-away")
    await until(lambda: guard.pid not in (0, first))
    await guard.close()
    await until(lambda: not living(OWN + "kept", OWN + "while-away"))


async def test_a_guard_that_hangs_is_replaced(guard: Guard, job: Callable[[str], object]) -> None:
    job(OWN + "hung")
    first = guard.pid
    os.kill(first, signal.SIGSTOP)
    number = 0
    while guard.pid == first:
        # Some ten thousand orders that nobody takes fill the pipe.
        guard.register(f"{OWN}none-{number}")
        guard.release(f"{OWN}none-{number}")
        number += 1
        if number % 1000 == 0:
            await asyncio.sleep(0.001)
    guard.register(OWN + "hung")
    await until(lambda: guard.pid not in (0, first))
    await guard.close()
    assert not living(OWN + "hung")


async def test_a_run_dies_at_its_deadline(guard: Guard, job: Callable[[str], object]) -> None:
    clock = SystemClock()
    job(OWN + "short")
    job(OWN + "long")
    deadline = clock.boottime() + 0.7
    guard.register(OWN + "short", deadline)
    guard.register(OWN + "long", clock.boottime() + 3600)
    await until(lambda: not living(OWN + "short"))
    assert clock.boottime() >= deadline
    assert living(OWN + "long")
    guard.release(OWN + "short")
    guard.release(OWN + "long")


async def test_a_deadline_can_be_put_off(guard: Guard, job: Callable[[str], object]) -> None:
    clock = SystemClock()
    job(OWN + "longer")
    job(OWN + "witness")
    guard.register(OWN + "longer", clock.boottime() + 0.5)
    guard.register(OWN + "longer", clock.boottime() + 3600)
    guard.register(OWN + "witness", clock.boottime() + 0.6)
    await until(lambda: not living(OWN + "witness"))
    assert living(OWN + "longer")


async def test_many_registrations_of_one_run_count(guard: Guard, job: Callable[[str], object]) -> None:
    job(OWN + "twice")
    guard.register(OWN + "twice")
    guard.register(OWN + "twice")
    guard.release(OWN + "twice")
    await guard.close()
    assert not living(OWN + "twice")


async def test_a_guard_that_cannot_live_is_not_started_in_a_tight_loop() -> None:
    clock = FakeClock()
    guard = Guard(clock)
    guard.start()
    watching = asyncio.create_task(guard.watch())
    os.kill(guard.pid, signal.SIGKILL)
    await clock.until_sleeping()
    assert guard.pid == 0
    await clock.advance(1)
    assert guard.pid != 0
    watching.cancel()
    await asyncio.gather(watching, return_exceptions=True)
    await guard.close()
