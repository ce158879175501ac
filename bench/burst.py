"""Bench of a burst: 1,000 pipelines due in the same second on one worker, beside a C program that starts the same
commands.

Prints one JSON object a line: {"figure", "value", "unit", "against", "ratio"}; the ratio is our time divided by that of
the C program: 1.5 is what was aimed at for the last start. Both take their turns within one run, and medians of times
and of ratios are taken.

The worker is the product's own process with its journal on disk, a private etcd and a console to which it delivers;
each pipeline is one shell step. A "plain command" is ``/bin/true``, which the worker executes without a shell; "with a
shell" is ``/bin/true; :``. Its times count from the scheduled instant: to the moment at which the
last program has been started (bench/_starts.py), and to the end of the last run as the ledger has it. Each run's
beginning is on disk before its program starts, and its end before it counts. The C program (bench/spawn.c) does the
same 1,000 times by ``/bin/sh -c`` and, where that says so, without a shell, with posix_spawn, a pipe for the output and
a wait, as many at once as the worker has places, and writes nothing; its times count from its first start.
"""

import argparse
import subprocess
import sys
import tempfile
import time
from datetime import UTC, datetime
from pathlib import Path
from statistics import median
from typing import NamedTuple

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from bench._worker import Worker, at, pipeline, read_starts, say, shell, soon, worker
from bench.spawn import build
from workers.engine.capacity import DEFAULT_CAPACITY

DUE = 1000
PLAIN = "/bin/true"
SHELL = "/bin/true; :"


class Times(NamedTuple):
    """Seconds from the beginning to the first and the last start, and to the last end."""

    first: float
    start: float
    end: float


class Round(NamedTuple):
    """One turn of everybody."""

    plain: Times
    c_plain: Times
    c_bare: Times
    shell: Times
    c_shell: Times


def in_c(program: str, *command: str) -> Times:
    """What the machine can do."""
    line = [program, str(DUE), str(DEFAULT_CAPACITY), *command]
    rate, last = subprocess.run(line, check=True, capture_output=True, text=True).stdout.split()
    return Times(0.0, float(last), DUE / float(rate))


def turn(one: Worker, starts: Path, script: str) -> Times:
    """The same by the worker."""
    second = soon(6)
    one.publish([pipeline(i, at(second), shell(script)) for i in range(DUE)])
    assert datetime.now(UTC) < second, "the pipelines were applied too late for their second: take a later one"
    starts.write_bytes(b"")
    # Until all have been started the bench does not look: it would take the machine from the worker.
    time.sleep(max((second - datetime.now(UTC)).total_seconds(), 0) + 1)
    ended = one.ended(second, DUE)
    started = [instant - second.timestamp() for instant in read_starts(starts)]
    assert len(started) == len({run.run for run in ended}) == DUE, f"{len(started)} starts, {len(ended)} ends"
    return Times(
        min(started), max(started), max((run.finished_at - second).total_seconds() for run in ended if run.finished_at)
    )


def main() -> None:
    """Reads the command line and measures."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--quick", action="store_true", help="one turn instead of seven")
    quick = parser.parse_args().quick
    with tempfile.TemporaryDirectory() as name:
        directory = Path(name)
        program, starts = build(directory), directory / "starts"
        with worker(module="bench._starts", variables={"BENCH_STARTS": str(starts)}) as one:
            if not quick:
                turn(one, starts, PLAIN)  # warming up
            rounds = [
                Round(
                    turn(one, starts, PLAIN),
                    in_c(program, "/bin/sh", "-c", PLAIN),
                    in_c(program, PLAIN),
                    turn(one, starts, SHELL),
                    in_c(program, "/bin/sh", "-c", SHELL),
                )
                for _ in range(1 if quick else 7)
            ]
    report("plain command", "C with a shell", [(each.plain, each.c_plain) for each in rounds])
    report("plain command", "C without a shell", [(each.plain, each.c_bare) for each in rounds])
    report("with a shell", "C with a shell", [(each.shell, each.c_shell) for each in rounds])


def report(what: str, against: str, pairs: list[tuple[Times, Times]]) -> None:
    """The figures of one kind of command."""
    ours, base = (Times(*(median(column) for column in zip(*side, strict=True))) for side in zip(*pairs, strict=True))
    last, done = f"{against}, last start: {base.start:.3f} s", f"{against}, all ended: {base.end:.3f} s"
    say(f"first start, {what}", ours.first, "s", last, median(mine.first / other.start for mine, other in pairs))
    say(f"last start, {what}", ours.start, "s", last, median(mine.start / other.start for mine, other in pairs))
    say(f"last end, {what}", ours.end, "s", done, median(mine.end / other.end for mine, other in pairs))


if __name__ == "__main__":
    main()
