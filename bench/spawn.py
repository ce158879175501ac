"""Bench of the start of programs, beside a C program that does the same with posix_spawn and nothing else.

Prints one JSON object a line: {"figure", "value", "unit", "against", "ratio"}; the ratio is our rate divided by that
of the C program. Both are measured in turns within one run, and the medians of rates and of ratios are taken, since
other work on the machine comes and goes. "spawner" is the start of a script
with its output and exit, "runs" are whole runs with all their records, handed to a sink that only counts them.
"""

import argparse
import asyncio
import json
import os
import pwd
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Awaitable, Callable, Iterator, Sequence
from datetime import UTC, datetime
from pathlib import Path
from statistics import median
from time import perf_counter

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from coordination.documents import PipelineDocument, StepDocument, TaskDocument
from coordination.records import OutputRecord, RunRecord, StepRecord
from workers.engine.clock import SystemClock
from workers.engine.execution import Execution, RunSpec
from workers.engine.guard import Guard
from workers.engine.hands import Hands
from workers.engine.masking import Secrets
from workers.engine.output import StepOutput
from workers.engine.runners.accounts import Accounts
from workers.engine.runners.spawn import SCRIPT, Spawner

WIDTH = 16
"""Programs at once, on both sides."""

BALLAST = 300 << 20
"""Bytes that the worker holds in the second round: a fork would have to copy their page tables."""

NOBODY = pwd.getpwnam("nobody")
BECOME = ["setpriv", f"--reuid={NOBODY.pw_uid}", f"--regid={NOBODY.pw_gid}", "--init-groups", "--"]

Work = Callable[[int], Awaitable[None]]


class Counter:
    """A sink that only counts."""

    def __init__(self) -> None:
        self.records = 0

    async def state(self, *records: RunRecord | StepRecord) -> None:
        """Counts."""
        self.records += len(records)

    async def output(self, record: OutputRecord) -> None:
        """Counts."""
        self.records += 1


class Bench:
    """Both sides, on one script."""

    def __init__(self, hands: Hands, program: str, script: str, count: int) -> None:
        self._hands = hands
        self._program = program
        self._script = script
        self._count = count
        self._spawner = Spawner(SystemClock().now)
        self._counter = Counter()

    def in_c(self, user: str) -> float:
        """Commands a second of the C program."""
        become = [shutil.which(BECOME[0]) or BECOME[0], *BECOME[1:]] if user else []
        command = [self._program, str(self._count), str(WIDTH), *become, "/bin/sh", "-c", self._script]
        return float(subprocess.run(command, check=True, capture_output=True, text=True).stdout.split()[0])

    async def spawner(self, user: str) -> float:
        """Scripts a second of the spawner alone."""
        account = Accounts(os.environ).of(user)
        command = [*account.prefix, "/bin/sh", SCRIPT]
        environment, script = account.variables, self._script.encode()

        async def one(number: int) -> None:
            output = StepOutput(
                "bench", number, deliver=self._counter.output, flusher=self._hands.flusher, secrets=Secrets(())
            )
            program = await self._spawner.start(
                command, script=script, directory="/", environment=environment, output=output
            )
            if await program.wait():
                raise RuntimeError("a script failed")
            await program.close()
            await output.close()

        return await self._rate(one)

    async def runs(self, user: str) -> float:
        """Whole runs a second."""
        now = datetime.now(UTC)
        task = TaskDocument(id=1, name="bench", kind="shell", content=self._script)
        step = StepDocument(task=task, position=1, user=user, directory="/")
        document = PipelineDocument(
            pipeline="bench",
            node="bench",
            generation=1,
            not_before=now,
            name="bench",
            schedule="@manual",
            steps=(step,),
        )

        async def one(number: int) -> None:
            spec = RunSpec(run=f"bench-{number}", trigger="manual", scheduled_at=now)
            clock = SystemClock()
            record = await Execution(document, spec, {}, self._counter, clock, self._hands).run()
            if record.state != "succeeded":
                raise RuntimeError(record.reason)

        return await self._rate(one)

    async def _rate(self, work: Work) -> float:
        numbers = iter(range(self._count))
        begin = perf_counter()
        await asyncio.gather(*(_one_after_the_other(work, numbers) for _ in range(WIDTH)))
        return self._count / (perf_counter() - begin)


async def _one_after_the_other(work: Work, numbers: Iterator[int]) -> None:
    for number in numbers:
        await work(number)


def build(directory: Path) -> str:
    """The C program, compiled into ``directory``."""
    program = directory / "spawn"
    source = Path(__file__).with_suffix(".c")
    subprocess.run([os.environ.get("CC", "cc"), "-O2", "-Wall", "-o", str(program), str(source)], check=True)
    return str(program)


async def _measure(bench: Bench, what: str, turns: int, user: str = "") -> None:
    sides: list[tuple[str, list[float]]] = [("c", []), ("spawner", []), ("runs", [])]
    for _ in range(turns):
        sides[0][1].append(bench.in_c(user))
        sides[1][1].append(await bench.spawner(user))
        sides[2][1].append(await bench.runs(user))
    in_c = sides[0][1]
    for name, rates in sides[1:]:
        figure = {
            "figure": f"{name}: {what}",
            "value": round(median(rates)),
            "unit": "starts/s",
            "against": f"posix_spawn in C: {median(in_c):.0f} starts/s",
            "ratio": round(median(rate / base for rate, base in zip(rates, in_c, strict=True)), 3),
        }
        print(json.dumps(figure), flush=True)


async def _all(count: int, turns: int, scripts: Sequence[str]) -> None:
    clock = SystemClock()
    guard = Guard(clock)
    guard.start()
    with tempfile.TemporaryDirectory() as directory:
        program = build(Path(directory))
        hands = Hands(clock=clock, scratch=Path(directory) / "scratch", environ=os.environ, guard=guard)
        for script in scripts:
            await _measure(Bench(hands, program, script, count), script, turns)
        bench = Bench(hands, program, scripts[0], count)
        if os.getuid() == 0:
            await _measure(bench, f"{scripts[0]} as another user", turns, user="nobody")
        ballast = bytearray(os.urandom(1 << 20)) * (BALLAST >> 20)
        await _measure(bench, f"{scripts[0]} while holding {len(ballast) >> 20} MB", turns)
        await hands.close()
    await guard.close()


def main() -> None:
    """Reads the command line and measures."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--quick", action="store_true", help="fewer starts and turns: for a look, not for a figure")
    quick = parser.parse_args().quick
    asyncio.run(_all(100 if quick else 200, 4 if quick else 10, ["/bin/true; :", "echo hello; :"]))


if __name__ == "__main__":
    main()
