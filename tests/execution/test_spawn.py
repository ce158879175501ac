"""How programs are started: what they get, what they do not, and what happens when they cannot be."""

import asyncio
import gc
import os
import signal
import threading
from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from pathlib import Path

import pytest

from tests.clock import until
from tests.execution.bench import OWN, Journal
from workers.engine.clock import SystemClock
from workers.engine.masking import Secrets
from workers.engine.output import Flusher, StepOutput
from workers.engine.runners import posix
from workers.engine.runners.spawn import SCRIPT, Program, Spawner

pytestmark = pytest.mark.anyio


class Starter:
    """A spawner, and what its programs wrote."""

    def __init__(self) -> None:
        self.spawner = Spawner(SystemClock().now)
        self.journal = Journal()
        self._flusher = Flusher(SystemClock())

    async def start(
        self, script: str, *, command: Sequence[str] = ("/bin/sh", SCRIPT), directory: str = "/", **variables: str
    ) -> tuple[Program, StepOutput]:
        output = StepOutput("run", 0, deliver=self.journal.output, flusher=self._flusher, secrets=Secrets(()))
        environment = {"PATH": "/usr/bin:/bin", "ECTS_RUN_ID": f"{OWN}spawn", **variables}
        program = await self.spawner.start(
            command, script=script.encode(), directory=directory, environment=environment, output=output
        )
        return program, output

    async def run(self, script: str, **more: str) -> tuple[int, str]:
        """Exit code and output."""
        self.journal.pieces.clear()
        program, output = await self.start(script, **more)
        code = await program.wait()
        await program.close()
        await output.close()
        return code, self.journal.output_of(0).decode()


@pytest.fixture
def starter() -> Iterator[Starter]:
    starter = Starter()
    yield starter
    starter.spawner.close()


def descriptors() -> set[str]:
    gc.collect()  # What earlier tests have left open would be let go at any moment.
    return set(os.listdir("/proc/self/fd"))


async def test_a_program_leads_a_session_in_its_directory(starter: Starter, tmp_path: Path) -> None:
    code, text = await starter.run(
        'pwd; echo $$; cut -d " " -f 6 /proc/$$/stat; echo $NAME; exit 7', directory=str(tmp_path), NAME="a=b ü"
    )
    directory, pid, session, name = text.splitlines()
    assert (code, directory, session, name) == (7, str(tmp_path), pid, "a=b ü")


async def test_a_program_gets_no_other_descriptor(starter: Starter) -> None:
    with ExitStack() as opened:
        for _ in range(3):
            opened.enter_context(open(os.devnull))
        # As if a parent process had left it open.
        left = os.open(os.devnull, os.O_RDONLY)
        opened.callback(os.close, left)
        os.set_inheritable(left, True)
        careful = Starter()
        opened.callback(careful.spawner.close)
        _, text = await careful.run("exec ls -l /proc/self/fd")
    links = [line.split("/proc/self/fd")[0].split(" -> ") for line in text.splitlines()[1:]]
    targets = sorted(link[1] for link in links if len(link) == 2 and "/proc/" not in link[1])
    assert [target.split(":")[0] for target in targets] == ["/dev/null", "/memfd", "pipe", "pipe"]


async def test_signals_that_python_ignores_end_programs_again(starter: Starter) -> None:
    assert signal.getsignal(signal.SIGPIPE) == signal.SIG_IGN
    _, text = await starter.run("grep SigIgn /proc/self/status")
    ignored = int(text.split()[1], 16)
    assert not [number for number in (signal.SIGPIPE, signal.SIGXFSZ) if ignored >> (number - 1) & 1]


@pytest.mark.parametrize(
    ("directory", "program", "named", "kind"),
    [
        ("/nonexistent", "/bin/sh", "/nonexistent", FileNotFoundError),
        ("/etc/passwd", "/bin/sh", "/etc/passwd", NotADirectoryError),
        ("/", "/bin/nonexistent", "/bin/nonexistent", FileNotFoundError),
        ("/", "/etc/passwd", "/etc/passwd", PermissionError),
    ],
)
async def test_who_is_at_fault_is_named(
    starter: Starter, directory: str, program: str, named: str, kind: type[OSError]
) -> None:
    await starter.run("true")
    before = descriptors()
    with pytest.raises(kind) as caught:
        await starter.start("", command=(program,), directory=directory)
    assert caught.value.filename == named
    assert descriptors() == before


@pytest.mark.parametrize("variables", [{"A": "b\0c"}, {"A=B": "c"}, {"": "c"}])
async def test_what_cannot_be_passed_is_refused(starter: Starter, variables: dict[str, str]) -> None:
    before = descriptors()
    with pytest.raises(ValueError, match=r"null byte|illegal environment variable"):
        await starter.start("true", **variables)
    assert descriptors() == before


async def test_a_start_that_has_begun_is_not_lost_by_a_cancellation(
    starter: Starter, monkeypatch: pytest.MonkeyPatch
) -> None:
    begun, go_on = threading.Event(), threading.Event()
    spawn = posix.Order.spawn

    def slow(order: posix.Order) -> int:
        begun.set()
        go_on.wait(10)
        return spawn(order)

    monkeypatch.setattr(posix.Order, "spawn", slow)
    started: list[Program] = []

    async def start() -> None:
        program, _ = await starter.start("exec sleep 600")
        started.append(program)
        await program.wait()

    task = asyncio.create_task(start())
    await until(begun.is_set)
    for _ in range(2):
        task.cancel()
        await asyncio.sleep(0)
    assert not task.done()
    go_on.set()
    with pytest.raises(asyncio.CancelledError):
        await task
    [program] = started
    os.kill(program.pid, signal.SIGKILL)
    await until(lambda: os.waitid(os.P_PID, program.pid, os.WEXITED | os.WNOWAIT | os.WNOHANG) is not None)
    await program.close()


async def test_a_burst_leaves_nothing_behind(starter: Starter) -> None:
    await starter.run("true")
    before = descriptors()
    codes = await asyncio.gather(*(starter.run(f"exit {number % 5}") for number in range(60)))
    assert [code for code, _ in codes] == [number % 5 for number in range(60)]
    assert descriptors() == before
