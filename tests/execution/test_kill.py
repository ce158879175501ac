"""Processes that try to escape, and do not. After each test nothing of the run lives (see conftest)."""

import asyncio
import os
from itertools import count
from pathlib import Path

import pytest

from coordination.records import RunRecord
from tests.clock import until
from tests.execution.bench import OWN, Bench, Done, pipeline, step, task
from workers.engine.processes import kill_runs, snapshot

pytestmark = pytest.mark.anyio

TRAPPED = "trap '' TERM INT HUP; echo begun; while :; do sleep 0.1; done"
OWN_SESSION = "setsid sh -c 'echo begun; sleep 600' & wait"
DOUBLE_FORK = "(setsid sh -c '(sleep 600 >/dev/null 2>&1 &) ; exit' &) ; sleep 0.1; echo begun; sleep 600"
STOPPED = "sh -c 'echo begun; kill -STOP $$; sleep 600'; sleep 600"
NO_ENVIRONMENT = "env -i sh -c 'echo begun; sleep 600' & wait"
NO_ENVIRONMENT_OWN_SESSION = "env -i setsid sh -c 'trap \"\" TERM; echo begun; sleep 600; sleep 600' & wait"
PIPE_HELD = "trap '' TERM; (trap '' TERM; echo begun; sleep 600) & wait"
MULTIPLYING = "f() { [ $1 -gt 8 ] || { f $(($1+1)) & f $(($1+1)) & }; sleep 600; }; echo begun; f 0"
MANY = "for i in $(seq 50); do sleep 600 & setsid sleep 600 & done; echo begun; wait"

_numbers = count()


@pytest.mark.parametrize(
    "script",
    [TRAPPED, OWN_SESSION, DOUBLE_FORK, STOPPED, NO_ENVIRONMENT, NO_ENVIRONMENT_OWN_SESSION, PIPE_HELD, MANY],
    ids=["trapped", "session", "double-fork", "stopped", "no-env", "no-env-session", "pipe-held", "many"],
)
async def test_a_tree_dies_whole(bench: Bench, script: str, marks: "Marks") -> None:
    done = bench.prepare(pipeline(marks.on(script)))
    record, dead = await _kill_once_begun(done)
    assert record.state == "killed"
    assert dead
    assert marks.living() == []


async def test_a_step_that_takes_too_long_dies_whole(bench: Bench, marks: "Marks") -> None:
    done = await bench.run(pipeline(step(marks.on(DOUBLE_FORK), 1, timeout=0.4)))
    assert done.record.state == "timed_out"
    assert marks.living() == []


async def test_it_may_tidy_up_within_the_grace(bench: Bench) -> None:
    done = bench.prepare(pipeline("trap 'echo tidied; exit 0' TERM; echo begun; while :; do sleep 0.05; done"))
    record, _ = await _kill_once_begun(done)
    assert record.state == "killed"
    assert done.text().endswith("tidied\n")


async def test_a_stopped_one_is_woken_to_tidy_up(bench: Bench) -> None:
    done = bench.prepare(pipeline("trap 'echo tidied; exit 0' TERM; echo begun; kill -STOP $$; sleep 600"))
    await _kill_once_begun(done)
    assert done.text() == "begun\ntidied\n"


async def test_a_second_kill_ends_the_grace(bench: Bench) -> None:
    bench.hands.reaper.grace = 3600.0
    done = bench.prepare(pipeline(TRAPPED))
    running = asyncio.create_task(done.execution.run())
    await done.says("begun")
    done.execution.cancel("killed by ada")
    done.execution.cancel("killed by bob")
    async with asyncio.timeout(60):
        record = await running
    assert (record.state, record.reason) == ("killed", "killed by ada")


async def test_a_kill_while_it_starts(bench: Bench, marks: "Marks") -> None:
    """At every turn of the loop between the request and the first sign of life, and with the starts queued up."""
    document = pipeline(marks.on("sleep 600"))
    runs = [bench.prepare(document) for _ in range(48)]
    tasks = [asyncio.create_task(done.execution.run()) for done in runs]
    for done in runs:
        await asyncio.sleep(0)
        done.execution.cancel("killed by ada")
    records = await asyncio.gather(*tasks)
    assert {record.state for record in records} == {"killed"}
    assert marks.living() == []


async def test_what_an_earlier_step_left_dies_with_the_run(bench: Bench, marks: "Marks") -> None:
    done = bench.prepare(pipeline(marks.on("setsid sleep 600 >/dev/null 2>&1 &"), "echo begun; sleep 600"))
    await _kill_once_begun(done, index=1)
    assert marks.living() == []


async def test_a_zombie_does_not_keep_it(bench: Bench) -> None:
    script = "import os, time\nif os.fork() == 0: os._exit(0)\nprint('begun', flush=True)\ntime.sleep(600)"
    done = bench.prepare(pipeline(step(task(script, interpreter="python3"), 1)))
    record, dead = await _kill_once_begun(done)
    assert record.state == "killed"
    assert dead


async def test_one_that_multiplies_is_caught(bench: Bench, marks: "Marks") -> None:
    done = bench.prepare(pipeline(marks.on(MULTIPLYING)))
    record, dead = await _kill_once_begun(done)
    assert record.state == "killed"
    assert dead
    assert marks.living() == []


async def test_fifty_kills_at_once(bench: Bench) -> None:
    runs = [bench.prepare(pipeline("trap '' TERM; echo begun; sleep 600; sleep 600")) for _ in range(50)]
    outcomes = await asyncio.gather(*(_kill_once_begun(done) for done in runs))
    assert all(record.state == "killed" and dead for record, dead in outcomes)


async def test_the_killed_state_is_not_written_while_something_lives(bench: Bench) -> None:
    done = bench.prepare(pipeline(TRAPPED))
    living: list[list[int]] = []
    done.journal.writing = lambda records: living.append(
        done.alive() if any(record.state == "killed" for record in records) else []
    )
    await _kill_once_begun(done)
    assert len(living) == 2
    assert living[-1] == []


async def test_survivors_of_an_earlier_life(bench: Bench) -> None:
    leader = await asyncio.create_subprocess_shell(
        "setsid sleep 600 & sleep 600", env={"ECTS_RUN_ID": OWN + "old", "PATH": os.environ["PATH"]}
    )
    await until(lambda: len([one for one in snapshot() if one.run == OWN + "old"]) == 3)
    assert await bench.hands.reaper.kill_runs([OWN + "old"]) == 3
    assert await bench.hands.reaper.kill_runs([OWN + "old"]) == 0
    await leader.wait()


def test_a_stranger_is_left_alone() -> None:
    assert kill_runs({"no such run"}, lambda seconds: None).killed == set()


async def _kill_once_begun(done: Done, index: int = 0) -> tuple[RunRecord, bool]:
    """The terminal record, and whether nothing of the run lived when it came."""
    running = asyncio.create_task(done.execution.run())
    await done.says("begun", index)
    done.execution.cancel("killed by ada")
    record = await running
    return record, done.alive() == []


class Marks:
    """Finds the processes of one test by two marks: a variable, and how long they sleep if they threw that away."""

    def __init__(self) -> None:
        self._nap = f"600.{os.getpid()}{next(_numbers):04}"
        self._variable = f"MARK={self._nap}"

    def on(self, script: str) -> str:
        """The script with the marks on all its processes."""
        return f"export {self._variable}\n{script.replace('600', self._nap)}"

    def living(self) -> list[str]:
        """Command lines of what carries a mark, no zombies."""
        places = [
            place for place in Path("/proc").iterdir() if place.name.isdecimal() and place.name != str(os.getpid())
        ]
        return [command for place in places if (command := self._look(place))]

    def _look(self, place: Path) -> str:
        try:
            command = (place / "cmdline").read_text(errors="replace")
            environ = (place / "environ").read_text(errors="replace")
        except OSError:
            return ""
        return command if self._variable in environ or self._nap in command else ""


@pytest.fixture
def marks() -> Marks:
    """Marks for the processes of one test."""
    return Marks()
