"""What a script gets, and what it can say back."""

import asyncio
import os
import pwd
import shutil
from pathlib import Path

import pytest

from tests.execution.bench import Bench, pipeline, step, task
from workers.engine.runners import spawn

pytestmark = pytest.mark.anyio

NOBODY = pwd.getpwnam("nobody")


async def test_it_knows_its_run(bench: Bench) -> None:
    done = await bench.run(pipeline("true", "env | grep ^ECTS_ | sort"), environment={"ECTS_NODE": "x"})
    known = dict(line.split("=", 1) for line in done.text(1).splitlines())
    assert known.pop("ECTS_OUTPUT")
    assert known == {
        "ECTS_RUN_ID": done.run,
        "ECTS_STEP": "1",
        "ECTS_PIPELINE": "11111111-1111-1111-1111-111111111111",
        "ECTS_PIPELINE_NAME": "Nightly",
        "ECTS_NODE": "22222222-2222-2222-2222-222222222222",
        "ECTS_ATTEMPT": "1",
        "ECTS_SCHEDULED_AT": "2026-03-01T12:30:00Z",
        "ECTS_TRIGGER": "manual",
    }


async def test_its_environment_is_clean(bench: Bench) -> None:
    done = await bench.run(
        pipeline(step("env", 1, environment={"MINE": "1", "BOTH": "step"})), environment={"BOTH": "hand"}
    )
    known = dict(line.split("=", 1) for line in done.text().splitlines())
    assert {name for name in known if not name.startswith("ECTS_")} - {"PWD", "SHLVL", "_", "OLDPWD"} == {
        *("PATH", "HOME", "LANG", "USER", "LOGNAME", "MINE", "BOTH")
    }
    assert known["BOTH"] == "hand"


async def test_it_reads_nothing_and_leads_its_own_session(bench: Bench) -> None:
    done = await bench.run(pipeline("cat; readlink /proc/self/fd/0; cut -d' ' -f6 /proc/$$/stat; echo $$"))
    place, session, pid = done.text().splitlines()
    assert place == "/dev/null"
    assert session == pid


async def test_errors_and_output_come_in_the_order_written(bench: Bench) -> None:
    done = await bench.run(pipeline("echo one; echo two >&2; echo three"))
    assert done.text() == "one\ntwo\nthree\n"


async def test_output_is_bytes(bench: Bench) -> None:
    done = await bench.run(pipeline(r"printf '\000\377\200abc'"))
    assert done.journal.output_of(0) == b"\x00\xff\x80abc"


async def test_line_ends_of_a_browser_are_mended(bench: Bench) -> None:
    done = await bench.run(pipeline("if true; then\r\n  echo yes\r\nfi\r\n"))
    assert done.text() == "yes\n"


@pytest.mark.parametrize(
    ("interpreter", "script", "said"),
    [
        ("/bin/bash", "a=(1 2); echo ${a[1]}", "2\n"),
        ("bash -e", "false\necho never", ""),
        ("/usr/bin/env python3", "import os\nprint(6 * 7, os.environ['ECTS_STEP'])", "42 0\n"),
        ("perl", 'print "from perl\\n"', "from perl\n"),
        ("", "echo ${0##*/} >/dev/null; echo sh", "sh\n"),
    ],
)
async def test_other_interpreters(bench: Bench, interpreter: str, script: str, said: str) -> None:
    done = await bench.run(pipeline(step(task(script, interpreter=interpreter), 1)))
    assert done.text() == said


async def test_the_script_is_in_no_command_line(bench: Bench) -> None:
    script = (
        'for place in /proc/[0-9]*/cmdline; do tr "\\0" " " < $place 2>/dev/null; done; echo {{ secrets.KEY }} #tell'
    )
    done = await bench.run(pipeline(script), {"KEY": "hidden-value"})
    assert "hidden-value" not in done.text()
    assert "#tell" not in done.text()
    assert "/proc/self/fd/" in done.text()
    assert done.text().endswith("***\n")


async def test_a_script_of_a_megabyte(bench: Bench) -> None:
    done = await bench.run(pipeline("#" + "x" * 1_000_000 + "\necho end"))
    assert done.text() == "end\n"


async def test_it_starts_in_the_directory_of_the_step(bench: Bench, tmp_path: Path) -> None:
    done = await bench.run(pipeline(step("pwd", 1, directory=str(tmp_path)), step("pwd; echo $HOME", 2)))
    assert done.text() == f"{tmp_path}\n"
    assert len(set(done.text(1).splitlines())) == 1


@pytest.mark.parametrize(
    ("more", "reason"),
    [
        ({"directory": "/no/such/place"}, "There is no directory /no/such/place on this node"),
        ({"directory": "/etc/passwd"}, "The directory /etc/passwd cannot be entered: Not a directory"),
        ({"user": "no-such-user"}, "There is no user 'no-such-user' on this node"),
        ({"environment": {"A": "b\0c"}}, "embedded null byte"),
    ],
)
async def test_a_step_that_cannot_start_says_why(bench: Bench, more: dict[str, object], reason: str) -> None:
    done = await bench.run(pipeline(step("echo never", 1, **more)))
    assert done.record.state == "failed"
    assert reason in done.journal.steps()[0].reason


@pytest.mark.parametrize("interpreter", ["/no/such/shell", "nosuchshell", "/etc/passwd", "sh 'open"])
async def test_a_missing_interpreter_is_named(bench: Bench, interpreter: str) -> None:
    done = await bench.run(pipeline(step(task("echo never", interpreter=interpreter), 1)))
    assert done.record.state == "failed"
    assert interpreter.split()[0] in done.journal.steps()[0].reason
    assert "interpreter" in done.journal.steps()[0].reason


async def test_it_becomes_another_user_whole(bench: Bench) -> None:
    script = (
        "id -u; id -g; id -G; echo $USER $LOGNAME $HOME; echo {{ secrets.KEY }} | wc -c; echo given=yes >> $ECTS_OUTPUT"
    )
    done = await bench.run(pipeline(step(script, 1, user="nobody"), step("echo $given", 2)), {"KEY": "12345"})
    if os.getuid() != 0:
        assert "cannot become another user or group: run the worker as root" in done.record.reason
        return
    assert done.record.state == "succeeded", done.record.reason
    assert done.text().splitlines() == [
        str(NOBODY.pw_uid),
        str(NOBODY.pw_gid),
        " ".join(map(str, os.getgrouplist("nobody", NOBODY.pw_gid))),
        f"nobody nobody {NOBODY.pw_dir}",
        "6",
    ]
    assert done.text(1) == "yes\n"


async def test_another_users_link_to_a_private_file_is_not_read(bench: Bench, tmp_path: Path) -> None:
    private = tmp_path / "private"
    private.write_text("password=geheim\n")
    done = await bench.run(pipeline(step(f"ln {private} $ECTS_OUTPUT", 1), "echo [$password]"))
    assert done.text(1) == "[]\n"
    assert "not a file that the step wrote" in done.journal.steps()[0].reason


async def test_its_own_user_needs_no_becoming(bench: Bench) -> None:
    done = await bench.run(pipeline(step("id -u", 1, user=pwd.getpwuid(os.getuid()).pw_name)))
    assert done.text() == f"{os.getuid()}\n"


async def test_its_exit_is_told(bench: Bench) -> None:
    done = await bench.run(pipeline(step("exit 42", 1, dependence="weak"), step("kill -9 $$", 2)))
    assert [record.exit_code for record in done.journal.steps()] == [42, -9]
    assert done.journal.steps()[1].reason == "It was ended by SIGKILL."


async def test_values_go_on_to_later_steps(bench: Bench) -> None:
    give = 'echo "version=1.2 beta" >> $ECTS_OUTPUT; echo count=3 >> $ECTS_OUTPUT'
    use = 'echo "$version/{{ version }}/{{ outputs.count }}"'
    done = await bench.run(pipeline(give, use))
    assert done.text(1) == "1.2 beta/1.2 beta/3\n"


async def test_values_that_steer_other_programs_are_not_taken(bench: Bench) -> None:
    give = "printf 'LD_PRELOAD=/x.so\\nPATH=/x\\nno value\\n1st=x\\nECTS_RUN_ID=z\\ngood=1\\n' > $ECTS_OUTPUT"
    done = await bench.run(pipeline(give, "echo $good $LD_PRELOAD; echo $PATH $ECTS_RUN_ID"))
    assert done.record.state == "succeeded"
    assert done.text(1).splitlines() == ["1", f"{os.environ['PATH']} {done.run}"]
    assert "5 lines of $ECTS_OUTPUT were ignored" in done.journal.steps()[0].reason


async def test_only_so_many_values_are_read(bench: Bench) -> None:
    give = "echo first=1 > $ECTS_OUTPUT; yes filler=x | head -c 1000000 >> $ECTS_OUTPUT; echo last=1 >> $ECTS_OUTPUT"
    done = await bench.run(pipeline(give, "echo [$first] [$last]"))
    assert done.text(1) == "[1] []\n"
    assert "only the first 65536 bytes" in done.journal.steps()[0].reason


async def test_a_link_in_place_of_the_file_is_not_followed(bench: Bench) -> None:
    done = await bench.run(pipeline("ln -s /etc/passwd $ECTS_OUTPUT", "echo on"))
    assert done.record.state == "succeeded"
    assert done.journal.steps()[0].reason == ""


async def test_nothing_is_left_in_the_scratch_directory(bench: Bench, tmp_path: Path) -> None:
    await bench.run(pipeline("echo a=1 > $ECTS_OUTPUT", step("echo b=1 > $ECTS_OUTPUT; sleep 60", 2, timeout=0.2)))
    assert list((tmp_path / "scratch").iterdir()) == []


async def test_a_child_that_keeps_the_pipe_open_does_not_keep_the_step_going(bench: Bench) -> None:
    done = await bench.run(pipeline(step("sleep 60 & echo ended", 1, timeout=20)))
    assert done.record.state == "succeeded"
    assert done.text() == "ended\n"
    assert await bench.hands.sweep(done.run) == []


async def test_a_child_that_never_stops_writing_does_not_either(bench: Bench) -> None:
    done = await bench.run(pipeline(step("yes & echo ended", 1, timeout=20)))
    assert done.record.state == "succeeded"
    assert await bench.hands.sweep(done.run) == []


async def test_a_program_left_in_the_background_may_still_end_its_sentence(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert shutil.which("bash")
    # It has a quarter of a second, in which a machine that others use may not even have started it.
    monkeypatch.setattr(spawn, "DRAIN", 60)
    done = await bench.run(pipeline(step(task("echo all > >(sleep 0.05; cat)", interpreter="bash"), 1)))
    assert done.text() == "all\n"


async def test_output_can_be_followed_while_it_comes(bench: Bench, tmp_path: Path) -> None:
    fifo = tmp_path / "fifo"
    os.mkfifo(fifo)
    done = bench.prepare(pipeline(f"echo early; cat {fifo}"))

    async def answer() -> None:
        await done.says("early")
        fifo.write_text("late\n")

    answering = asyncio.create_task(answer())
    assert (await done.execution.run()).state == "succeeded"
    await answering
    assert done.text() == "early\nlate\n"


async def test_too_much_output_keeps_both_ends(bench: Bench) -> None:
    script = "seq 1 20000"
    whole = "".join(f"{number}\n" for number in range(1, 20001)).encode()
    done = await bench.run(pipeline(script), cap=10_000)
    record = done.journal.steps()[0]
    pieces = done.journal.pieces
    assert record.output_bytes == len(whole)
    assert record.output_dropped == len(whole) - 10_000
    numbers = [piece.number for piece in pieces]
    assert numbers == sorted(set(numbers))
    for piece in pieces:
        assert whole[piece.offset : piece.offset + len(piece.data)] == piece.data
    assert done.journal.output_of(0) == whole[:5_000] + whole[-5_000:]


async def test_endless_output_without_a_line_end_costs_bounded_memory(bench: Bench) -> None:
    before = _peak_from_now()
    done = await bench.run(pipeline("head -c 300000000 /dev/zero"))
    record = done.journal.steps()[0]
    assert record.output_bytes == 300_000_000
    assert record.output_dropped == 300_000_000 - (1 << 20)
    assert _peak() - before < 32 << 20


async def test_nothing_of_the_worker_is_open_in_a_step(bench: Bench) -> None:
    done = await bench.run(pipeline("for place in /proc/$$/fd/*; do readlink $place; done"))
    assert {line.split(":")[0] for line in done.text().splitlines() if line} <= {"/dev/null", "pipe", "/memfd"}


def _peak_from_now() -> int:
    """Bytes; forgets how much memory this process has ever had (proc(5), clear_refs)."""
    Path("/proc/self/clear_refs").write_text("5")
    return _peak()


def _peak() -> int:
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith("VmHWM:")) * 1024


async def test_a_plain_command_needs_no_shell(bench: Bench) -> None:
    done = await bench.run(pipeline("  /bin/cat   /proc/self/stat\n"))
    pid, _, _, _, _, session, *_ = done.text().split()
    assert pid == session


@pytest.mark.parametrize(
    "script", ["/bin/cat /proc/self/stat; true", "cat /proc/self/stat", "/bin/cat '/proc/self/stat'"]
)
async def test_whatever_means_something_to_a_shell_gets_one(bench: Bench, script: str) -> None:
    done = await bench.run(pipeline(script))
    pid, _, _, _, _, session, *_ = done.text().split()
    assert pid != session


@pytest.mark.parametrize("script", ["/usr/bin/env", "/usr/bin/env; true"])
async def test_a_plain_command_gets_the_variables_that_a_shell_gives(bench: Bench, tmp_path: Path, script: str) -> None:
    done = await bench.run(pipeline(step(script, directory=str(tmp_path), environment={"NAME": "value"})))
    variables = dict(line.split("=", 1) for line in done.text().splitlines())
    assert (variables["PWD"], variables["NAME"]) == (str(tmp_path), "value")
    assert {"PATH", "HOME", "ECTS_RUN_ID", "ECTS_OUTPUT"} <= variables.keys()


@pytest.mark.parametrize(
    ("script", "code", "said"),
    [("/no/such/program --now", 127, "not found"), ("/etc/passwd", 126, "Permission denied"), ("/etc", 126, "denied")],
)
async def test_a_plain_command_that_cannot_be_executed_ends_as_in_a_shell(
    bench: Bench, script: str, code: int, said: str
) -> None:
    done = await bench.run(pipeline(script))
    assert done.journal.steps()[0].exit_code == code
    assert said in done.text()


async def test_a_script_without_a_first_line_is_the_shells(bench: Bench, tmp_path: Path) -> None:
    script = tmp_path / "script"
    script.write_text("echo hello")
    script.chmod(0o755)
    assert (await bench.run(pipeline(str(script)))).text() == "hello\n"
