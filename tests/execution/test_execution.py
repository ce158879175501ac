"""The order of steps, what their ends mean for the run, and what is written when. With real shell steps."""

import asyncio
import os
from datetime import UTC, datetime
from pathlib import Path

import pytest

from coordination.records import RunRecord, StepRecord
from tests.clock import settle, until
from tests.execution.bench import Bench, Done, pipeline, step, task

pytestmark = pytest.mark.anyio


async def test_steps_run_in_the_order_of_their_positions(bench: Bench) -> None:
    done = await bench.run(pipeline(step("echo third", 9), step("echo first", 1), step("echo second", 4)))
    assert done.record.state == "succeeded"
    assert [done.text(index) for index in range(3)] == ["first\n", "second\n", "third\n"]
    assert [record.position for record in done.journal.steps()] == [1, 4, 9]


async def test_steps_that_share_a_position_run_side_by_side(bench: Bench, tmp_path: Path) -> None:
    fifo = tmp_path / "fifo"
    os.mkfifo(fifo)
    document = pipeline(
        step(f"echo met > {fifo}", 1, timeout=10), step(f"cat {fifo}", 1, timeout=10), step("echo on", 2)
    )
    done = await bench.run(document)
    assert done.states == ["succeeded"] * 3
    assert done.text(1) == "met\n"


async def test_a_strong_failure_ends_the_run_and_says_where(bench: Bench) -> None:
    done = await bench.run(pipeline("true", step(task("exit 3", name="copy"), 2), "echo never"), reason="late by 4 s")
    assert done.record.state == "failed"
    assert done.record.reason == 'late by 4 s; Step 2 "copy" failed: It ended with exit code 3.'
    assert done.states == ["succeeded", "failed", "skipped"]
    assert [record.exit_code for record in done.journal.steps()] == [0, 3, None]
    assert done.journal.steps()[2].reason == 'Step 2 "copy" did not succeed.'
    assert done.text(2) == ""


async def test_a_weak_failure_does_not(bench: Bench) -> None:
    done = await bench.run(pipeline(step("exit 3", 1, dependence="weak"), step("echo on", 2)))
    assert done.record.state == "succeeded"
    assert done.states == ["failed", "succeeded"]


async def test_the_others_of_a_position_end_before_the_failure_of_one_counts(bench: Bench, tmp_path: Path) -> None:
    flag = tmp_path / "flag"
    slow = f"while [ ! -e {flag} ]; do sleep 0.01; done; echo done"
    done = await bench.run(pipeline(step(f"touch {flag}; exit 1", 1), step(slow, 1), step("echo never", 2)))
    assert done.states == ["failed", "succeeded", "skipped"]
    assert done.record.state == "failed"


async def test_a_beginning_is_durable_before_the_step_begins(bench: Bench, tmp_path: Path) -> None:
    flag = tmp_path / "flag"
    done = bench.prepare(pipeline(f"touch {flag}"))
    begun: list[bool] = []
    done.journal.writing = lambda records: begun.append(flag.exists())
    await done.execution.run()
    assert begun == [False, True]


async def test_a_run_of_one_step_costs_two_writes(bench: Bench) -> None:
    done = await bench.run(pipeline("true"))
    kinds = [[(type(record), record.state) for record in write] for write in done.journal.writes]
    assert kinds == [
        [(RunRecord, "running"), (StepRecord, "running")],
        [(StepRecord, "succeeded"), (RunRecord, "succeeded")],
    ]


async def test_the_records_tell_when(bench: Bench) -> None:
    before = bench.clock.now()
    done = await bench.run(pipeline("true"))
    first, last = done.journal.steps()[0], done.record
    assert last.started_at is not None
    assert first.started_at is not None
    assert first.finished_at is not None
    assert last.finished_at is not None
    assert before <= last.started_at <= first.started_at <= first.finished_at <= last.finished_at <= bench.clock.now()
    assert (last.generation, last.attempt, last.trigger) == (5, 1, "manual")


async def test_a_start_is_told_as_of_the_program_not_of_the_decision(bench: Bench) -> None:
    done = bench.prepare(pipeline(step("date +%s.%N", 1), step("true", 2)))
    durable: list[datetime] = []
    done.journal.writing = lambda records: durable.append(bench.clock.now())
    done.record = await done.execution.run()
    first = done.journal.steps()[0].started_at
    begun = datetime.fromtimestamp(float(done.text()), UTC)
    assert first is not None
    assert durable[0] <= first <= begun
    assert done.record.started_at == first


async def test_a_try_is_told_as_of_its_program(bench: Bench) -> None:
    done = bench.prepare(pipeline(step("date +%s.%N; false", 1, retries=1, interval=0.01)))
    durable: list[datetime] = []
    done.journal.writing = lambda records: durable.append(bench.clock.now())
    done.record = await done.execution.run()
    begun = [datetime.fromtimestamp(float(line), UTC) for line in done.text().split()]
    told = [one.started_at for one in done.journal.steps()[0].tries]
    assert len(told) == 2
    assert all(write <= one <= real for write, one, real in zip(durable, told, begun, strict=False))


@pytest.mark.parametrize("dependence", ["strong", "weak"])
async def test_what_follows_a_first_step_that_never_began_is_no_beginning(bench: Bench, dependence: str) -> None:
    first = step("true", 1, directory="/none", dependence=dependence, retries=1, interval=0.05)
    document = pipeline(first, step("true", 2), on_failure=task("true"))
    done = await bench.run(document)
    assert done.states == (["failed", "skipped", "succeeded"] if dependence == "strong" else ["failed", "succeeded"])
    assert done.record.started_at is not None
    assert done.record.started_at == done.journal.steps()[0].started_at
    assert done.begun == [done.record.started_at]


async def test_the_first_of_those_side_by_side_begins_the_run(bench: Bench) -> None:
    done = await bench.run(pipeline(step("true", 1), step("sleep 0.01", 1), step("true", 1), step("true", 2)))
    starts = [record.started_at for record in done.journal.steps() if record.started_at]
    assert done.record.started_at == min(starts)
    assert len(done.begun) == 1


async def test_a_step_is_tried_again_until_it_succeeds(bench: Bench, tmp_path: Path) -> None:
    script = f"echo try >> {tmp_path}/tries; [ $(wc -l < {tmp_path}/tries) = 3 ]"
    done = await bench.run(pipeline(step(script, 1, retries=5, interval=0.01)))
    assert done.record.state == "succeeded"
    assert done.journal.steps()[0].attempts == 3
    tries = [record.attempts for record in done.journal.states if isinstance(record, StepRecord)]
    assert tries == [1, 2, 3, 3]
    told = done.journal.steps()[0].tries
    assert [one.reason for one in told] == ["It ended with exit code 1."] * 2 + [""]
    assert [one.finished_at is None for one in told] == [False, False, True]
    instants = [instant for one in told for instant in (one.started_at, one.finished_at) if instant]
    assert instants == sorted(instants)


async def test_the_last_try_decides(bench: Bench) -> None:
    done = await bench.run(pipeline(step("echo once more; exit 4", 1, retries=2)))
    assert done.record.state == "failed"
    assert done.journal.steps()[0].attempts == 3
    assert done.text() == "once more\n" * 3
    offsets = [(piece.number, piece.offset) for piece in done.journal.pieces]
    assert offsets[0] == (0, 0)


async def test_the_time_of_a_step_is_for_each_try(bench: Bench, tmp_path: Path) -> None:
    script = f"echo try >> {tmp_path}/tries; [ $(wc -l < {tmp_path}/tries) = 2 ] || sleep 60"
    done = await bench.run(pipeline(step(script, 1, timeout=3, retries=1)))
    assert done.record.state == "succeeded"
    assert done.journal.steps()[0].attempts == 2


async def test_a_strong_step_that_takes_too_long_ends_the_run_as_timed_out(bench: Bench) -> None:
    done = await bench.run(pipeline(step("echo begun; sleep 60", 1, timeout=2), step("echo never", 2)))
    assert done.record.state == "timed_out"
    assert done.record.reason == 'Step 1 "shell" timed out: It took longer than its limit of 2 s.'
    assert done.states == ["timed_out", "skipped"]
    assert done.text() == "begun\n"


async def test_a_weak_step_that_takes_too_long_does_not(bench: Bench) -> None:
    done = await bench.run(pipeline(step("sleep 60", 1, timeout=0.2, dependence="weak"), step("echo on", 2)))
    assert done.record.state == "succeeded"
    assert done.states == ["timed_out", "succeeded"]


async def test_a_timeout_ends_its_own_step_only(bench: Bench, tmp_path: Path) -> None:
    flag = tmp_path / "flag"
    waits = f"while [ ! -e {flag} ]; do sleep 0.01; done; echo lived"
    document = pipeline(
        step("sleep 60", 1, timeout=0.2, dependence="weak"),
        step(waits, 1),
        step("true", 2),
    )
    done = bench.prepare(document)

    def release(records: tuple[RunRecord | StepRecord, ...]) -> None:
        if any(record.state == "timed_out" for record in records):
            flag.touch()

    done.journal.writing = release
    record = await done.execution.run()
    assert record.state == "succeeded"
    assert done.text(1) == "lived\n"


async def test_the_limit_of_the_run_ends_it_as_timed_out_and_the_failure_task_follows(bench: Bench) -> None:
    document = pipeline("sleep 60", "echo never", timeout=0.3, on_failure=task("echo $ECTS_RUN_STATE"))
    done = await bench.run(document)
    assert done.record.state == "timed_out"
    assert done.record.reason == "The run took longer than its limit of 0.3 s."
    assert done.states == ["timed_out", "skipped", "succeeded"]
    assert done.text(2) == "timed_out\n"


async def test_the_limit_also_ends_the_wait_for_the_next_try(bench: Bench) -> None:
    done = await bench.run(pipeline(step("exit 1", 1, retries=3, interval=60), timeout=0.3))
    assert done.record.state == "timed_out"
    assert done.journal.steps()[0].attempts == 1


async def test_the_success_task_is_told_of_success(bench: Bench) -> None:
    document = pipeline("true", on_success=task("echo $ECTS_RUN_STATE {{ run_state }}"), on_failure=task("echo bad"))
    done = await bench.run(document)
    assert done.record.state == "succeeded"
    closing = done.journal.steps()[1]
    assert (closing.role, closing.index, closing.position) == ("on_success", 1, 2)
    assert done.text(1) == "succeeded succeeded\n"


async def test_the_failure_task_is_told_what_failed(bench: Bench) -> None:
    told = 'echo "$ECTS_RUN_STATE|$ECTS_FAILED_STEP|$ECTS_RUN_REASON"'
    document = pipeline(step(task("exit 9", name="copy"), 1), on_success=task("echo good"), on_failure=task(told))
    done = await bench.run(document)
    assert done.record.state == "failed"
    assert done.journal.steps()[1].role == "on_failure"
    assert done.text(1) == 'failed|copy|Step 1 "copy" failed: It ended with exit code 9.\n'


async def test_a_closing_task_that_fails_is_named_but_changes_nothing(bench: Bench) -> None:
    done = await bench.run(pipeline("true", on_success=task("exit 5", name="tell")))
    assert done.record.state == "succeeded"
    assert done.record.reason == 'The success task "tell" failed: It ended with exit code 5.'
    assert done.states == ["succeeded", "failed"]


async def test_a_killed_run_has_no_closing_task(bench: Bench) -> None:
    done = bench.prepare(pipeline("echo begun; sleep 60", "echo never", on_failure=task("echo bad")))
    record = await _kill_once_it_says(done, "begun")
    assert record.state == "killed"
    assert record.reason == "killed by ada"
    assert done.states == ["killed", "skipped"]


async def test_a_run_killed_before_it_began_begins_nothing(bench: Bench) -> None:
    done = bench.prepare(pipeline("echo begun"))
    done.execution.cancel("killed by ada")
    record = await done.execution.run()
    assert record.state == "killed"
    assert done.states == ["skipped"]
    assert done.text() == ""


async def test_a_kill_in_a_closing_task_ends_that(bench: Bench) -> None:
    done = bench.prepare(pipeline("true", on_success=task("echo begun; sleep 60")))
    record = await _kill_once_it_says(done, "begun", index=1)
    assert record.state == "succeeded"
    assert done.states == ["succeeded", "killed"]
    assert "killed by ada" in record.reason


async def test_a_fault_of_a_runner_fails_the_step(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    async def broken(*_: object) -> None:
        raise ZeroDivisionError

    monkeypatch.setattr(bench.hands.of("shell"), "run", broken)
    done = await bench.run(pipeline("true", on_failure=task("true")))
    assert done.record.state == "failed"
    assert done.journal.steps()[0].reason == "The worker failed at it (ZeroDivisionError): see the worker's log."


async def test_a_task_cancelled_from_outside_leaves_no_process(bench: Bench) -> None:
    done = bench.prepare(pipeline("echo begun; sleep 60"))
    running = asyncio.create_task(done.execution.run())
    await done.says("begun")
    running.cancel()
    with pytest.raises(asyncio.CancelledError):
        await running
    assert done.alive() == []


async def test_a_task_cancelled_from_outside_during_a_kill_is_cancelled(bench: Bench) -> None:
    done = bench.prepare(pipeline("trap '' TERM; echo begun; while :; do sleep 0.1; done"))
    running = asyncio.create_task(done.execution.run())
    await done.says("begun")
    done.execution.cancel("killed by ada")
    await settle()
    running.cancel()
    with pytest.raises(asyncio.CancelledError):
        await running
    await until(lambda: done.alive() == [])


async def test_a_hundred_runs_at_once(bench: Bench) -> None:
    runs = await asyncio.gather(*(bench.run(pipeline(f"echo {number}")) for number in range(100)))
    assert [done.text() for done in runs] == [f"{number}\n" for number in range(100)]


async def test_what_a_step_starts_on_purpose_may_outlive_it(bench: Bench, tmp_path: Path) -> None:
    done = await bench.run(pipeline(f"setsid sleep 60 >/dev/null 2>&1 & echo $! > {tmp_path}/pid"))
    assert done.record.state == "succeeded"
    assert done.alive() == [int((tmp_path / "pid").read_text())]
    assert await bench.hands.sweep(done.run) == []
    assert done.alive() == []


async def _kill_once_it_says(done: Done, text: str, index: int = 0) -> RunRecord:
    running = asyncio.create_task(done.execution.run())
    await until(lambda: text in done.text(index))
    done.execution.cancel("killed by ada")
    return await running
