"""What a step may use: kept by the kernel, with programs that want more."""

import os
import pwd
from pathlib import Path

import pytest

from tests.etcd_server import wait_until
from tests.execution.bench import Bench, pipeline, step, task
from workers.engine.runners import cgroups
from workers.engine.runners.accounts import Refusal
from workers.engine.runners.cgroups import Groups
from workers.engine.runners.confinement import Confiner
from workers.engine.runners.limits import Limits, amount

pytestmark = pytest.mark.anyio

MIB = 1 << 20
PATH = "/usr/sbin:/usr/bin:/sbin:/bin"
NOBODY = pwd.getpwnam("nobody")


async def test_without_limits_nothing_goes_before_the_script(bench: Bench) -> None:
    done = await bench.run(pipeline("tr '\\0' ' ' </proc/$$/cmdline; echo; ulimit -v; umask"))
    assert done.text().startswith("/bin/sh -c tr ")
    assert done.text().splitlines()[-2:] == ["unlimited", f"{_umask():04o}"]


async def test_each_limit_reaches_the_script(bench: Bench) -> None:
    script = "ulimit -n; ulimit -t; nice; umask; tr '\\0' ' ' </proc/$$/cmdline"
    done = await bench.run(
        pipeline(step(script, 1, open_files=77, cpu_seconds=9, nice=7, umask="027")),
    )
    files, seconds, nice, umask, command = done.text().splitlines()
    assert (files, seconds, nice, umask) == ("77", "9", str(os.nice(0) + 7), "0027")
    assert command.startswith("/bin/sh -c "), "nothing of the programs before it is left"


async def test_too_much_memory(bench: Bench) -> None:
    script = task("x = bytearray(256 << 20); print(len(x))", interpreter="/usr/bin/env python3")
    done = await bench.run(pipeline(step(script, 1, memory=128 * MIB)))
    assert done.record.state == "failed"
    assert str(256 << 20) not in done.text()
    assert "MemoryError" in done.text() or "more than its 128 MiB of memory" in done.record.reason
    plenty = await bench.run(pipeline(step(script, 1, memory=512 * MIB)))
    assert plenty.text() == f"{256 << 20}\n"


async def test_too_much_processor_time(bench: Bench) -> None:
    done = await bench.run(pipeline(step("while :; do :; done", 1, cpu_seconds=1)))
    assert done.record.state == "failed"
    assert "more than its 1 s of processor time" in done.journal.steps()[0].reason
    child = await bench.run(pipeline(step("/bin/sh -c 'while :; do :; done'; exit $?", 1, cpu_seconds=1)))
    assert "more than its 1 s of processor time" in child.journal.steps()[0].reason


async def test_a_fork_bomb_within_limits_ends(bench: Bench) -> None:
    """Where only rlimits can be had, the kernel counts the processes of the user; root's it does not."""
    user = "nobody" if os.getuid() == 0 else ""
    bomb = "bomb() { bomb & bomb; }; bomb"
    done = await bench.run(pipeline(step(bomb, 1, user=user, processes=40, timeout=3, cpu_seconds=20)))
    assert done.record.state in ("failed", "timed_out")
    assert wait_until(lambda: _of(user) == 0 if user else True, "nothing of it is left")


async def test_more_files_than_may_be_open(bench: Bench) -> None:
    done = await bench.run(pipeline(step('for n in 3 4 5 6 7 8 9; do eval "exec $n</dev/null"; done', 1, open_files=6)))
    assert done.record.state == "failed"


@pytest.mark.parametrize(
    ("fields", "words"),
    [
        ({"group": "no-such-group"}, "There is no group 'no-such-group'"),
        ({"user": "no-such"}, "There is no user 'no-such'"),
    ],
)
async def test_who_is_not_there_is_named(bench: Bench, fields: dict[str, str], words: str) -> None:
    done = await bench.run(pipeline(step("echo never", 1, **fields), "echo never"))
    assert done.record.state == "failed"
    assert words in done.journal.steps()[0].reason
    assert done.text() == ""


async def test_a_group_of_its_own(bench: Bench) -> None:
    done = await bench.run(
        pipeline(step("id -g; id -u", 1, group="daemon"), step("id -g; id -u", 2, group="daemon", user="nobody"))
    )
    if os.getuid() != 0:
        assert "cannot become another user or group" in done.record.reason
        return
    assert done.text() == "1\n0\n"
    assert done.text(1) == f"1\n{NOBODY.pw_uid}\n"


def test_missing_programs_are_named() -> None:
    with pytest.raises(Refusal, match="prlimit is not on this node"):
        Confiner("/nowhere", None).confine(Limits(open_files=3), "x")
    with pytest.raises(Refusal, match="nice is not on this node"):
        Confiner("/nowhere", None).confine(Limits(nice=3), "x")


async def test_a_control_group_takes_the_place_of_rlimits(tmp_path: Path) -> None:
    """The files are the kernel's interface; that it obeys them is shown below, as far as this machine lets us."""
    confined = Confiner(PATH, Groups(tmp_path, frozenset({"memory", "pids"}))).confine(
        Limits(memory=64 * MIB, processes=9, open_files=5), "run-0"
    )
    group = tmp_path / "step-run-0"
    assert (group / "memory.max").read_text() == str(64 * MIB)
    assert (group / "pids.max").read_text() == "9"
    assert [word for word in confined.outer if word.startswith("--")] == ["--nofile=5", "--"]
    assert str(group / "cgroup.procs") in confined.outer
    (group / "memory.events").write_text("low 0\noom 1\noom_kill 1\n")
    assert confined.why_ended(-9) == "The kernel ended it: it used more than its 64 MiB of memory."


async def test_a_group_that_cannot_be_made_leaves_it_to_rlimits(tmp_path: Path) -> None:
    confined = Confiner(PATH, Groups(tmp_path / "gone", frozenset({"memory"}))).confine(Limits(memory=64 * MIB), "x")
    assert f"--as={64 * MIB}" in confined.outer
    await confined.close()


async def test_what_leaves_its_environment_behind_dies_with_its_group(bench: Bench) -> None:
    """On a machine where the worker may not make control groups there is none, and it has to know that."""
    groups = cgroups.delegated()
    if groups is None:
        place = cgroups._own_group(Path("/proc"))
        assert place is None or not os.access(place / "cgroup.procs", os.W_OK)
        return
    bench.hands._shell._confiner = Confiner(PATH, groups)
    script = "setsid env -i sleep 1000 </dev/null >/dev/null 2>&1 & echo $!"
    done = await bench.run(pipeline(step(script, 1, processes=50)))
    assert done.record.state == "succeeded", done.record.reason
    assert not Path(f"/proc/{done.text().strip()}").exists() or _is_zombie(int(done.text()))
    assert list(groups._place.glob("step-*")) == []


def test_amounts() -> None:
    assert [amount(size) for size in (1 << 30, 5 << 20, 3 << 10, 1000)] == ["1 GiB", "5 MiB", "3 KiB", "1000 bytes"]


def _umask() -> int:
    held = os.umask(0)
    os.umask(held)
    return held


def _of(user: str) -> int:
    """How many processes the user has."""
    uid = pwd.getpwnam(user).pw_uid
    owners = []
    for place in Path("/proc").glob("[0-9]*"):
        try:
            owners.append(place.stat().st_uid)
        except OSError:
            continue
    return owners.count(uid)


def _is_zombie(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] == "Z"
    except OSError:
        return True
