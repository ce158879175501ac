"""Bench of one instant: 100, 1,000 and 5,000 jobs that are due in the same second, here and by other schedulers.

Prints one JSON object a line: {"figure", "value", "unit", "against", "ratio"}. Each job is a shell command that writes
down when it began (bench/stamp.c), which is late by so much; p50, p99 and the largest of all jobs are told. Of another
scheduler the ratio is its lateness divided by ours, within one run: 1 and more is good. Processor time is that of the
scheduler and of all its jobs; memory is resident.

Ours is the product's own worker with its journal on disk, a private etcd and a console to which it delivers: every
beginning is on disk before its program starts. Nobody else here writes anything down. Peers: APScheduler (in memory, as
many threads as the worker has places), and in the long form Debian's cron and Celery with beat, Redis and as many
threads, which both know minutes only, are given a full minute, and take part in the first of three turns. A peer that
is not on this machine is left out and said so. ``--quick``: 1,000, one turn, APScheduler only.
"""

import argparse
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, suppress
from datetime import UTC, datetime
from pathlib import Path
from statistics import median
from typing import NamedTuple

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from bench import _peers
from bench._worker import Worker, at, percentile, pipeline, read_starts, say, shell, soon, worker
from tests.etcd_server import wait_until

PATIENCE = 120.0
"""Seconds for all jobs to begin."""

Start = Callable[[int, str], AbstractContextManager[tuple[list[int], datetime]]]
"""Sees to it that a command is run so often at an instant: gives the processes and the instant."""


class Burst(NamedTuple):
    """Lateness in milliseconds; seconds of processor time; megabytes."""

    p50: float
    p99: float
    largest: float
    cpu: float
    memory: float


class TooSlow(Exception):
    """``begun``: how many jobs had begun when patience ended."""

    def __init__(self, begun: int) -> None:
        super().__init__(f"{begun} jobs had begun after {PATIENCE:g} s")
        self.begun = begun


def measure(start: Start, count: int, job: Path, starts: Path) -> Burst:
    """One turn of one scheduler. Raises TooSlow."""
    starts.write_bytes(b"")
    with start(count, f"{job} {starts}") as (pids, instant):
        time.sleep(max((instant - datetime.now(UTC)).total_seconds() - 1, 0))
        assert not starts.stat().st_size, "a job began before its time"
        spent, _memory = _peers.cost(pids)
        time.sleep(max((instant - datetime.now(UTC)).total_seconds() + 1, 0))
        with suppress(AssertionError):
            wait_until(lambda: starts.stat().st_size >= 8 * count, f"{count} jobs have begun", PATIENCE)
        if starts.stat().st_size < 8 * count:
            raise TooSlow(starts.stat().st_size // 8)
        # The ends of the last ones belong to the cost.
        time.sleep(1)
        spent_after, memory = _peers.cost(pids)
    late = [(begun - instant.timestamp()) * 1e3 for begun in read_starts(starts)]
    assert len(late) == count, f"{len(late)} jobs began instead of {count}"
    return Burst(percentile(late, 0.5), percentile(late, 0.99), max(late), spent_after - spent, memory)


def ours(one: Worker) -> Start:
    """The worker that is there already."""

    @contextmanager
    def start(count: int, command: str) -> Iterator[tuple[list[int], datetime]]:
        second = soon(5 + count // 250)
        one.publish([pipeline(i, at(second), shell(f"{command}; :")) for i in range(count)])
        assert datetime.now(UTC) < second, "the pipelines were applied too late for their second"
        yield [one.process.pid], second
        one.ended(second, count)

    return start


@contextmanager
def by_apscheduler(count: int, command: str) -> Iterator[tuple[list[int], datetime]]:
    """As many jobs, a few seconds ahead."""
    second = soon(5 + count // 250)
    with _peers.apscheduler("burst", count, second, f"{command}; :") as pids:
        yield pids, second


@contextmanager
def by_cron(count: int, command: str) -> Iterator[tuple[list[int], datetime]]:
    """At the next minute."""
    minute = _peers.next_minute(5)
    with _peers.cron(count, minute, command) as pids:
        yield pids, minute


@contextmanager
def by_celery(count: int, command: str) -> Iterator[tuple[list[int], datetime]]:
    """At the next minute."""
    minute = _peers.next_minute(15)
    with _peers.celery(count, minute, f"{command}; :") as pids:
        yield pids, minute


ONCE = ("cron", "celery")
"""Those that have to wait for a minute: one turn of each."""

PEERS: dict[str, Start] = {"apscheduler": by_apscheduler, "cron": by_cron, "celery": by_celery}


def report(who: str, count: int, turns: list[Burst], base: list[Burst]) -> None:
    """Medians; ratios turn by turn, of those in which it took part."""
    against = "the same" if turns is base else "ECTS, in the same run"
    units = {"p50": "ms", "p99": "ms", "largest": "ms", "cpu": "s", "memory": "MB"}
    words = {"p50": "lateness p50", "p99": "lateness p99", "largest": "lateness max", "cpu": "processor time"}
    for name, unit in units.items():
        ratios = [
            getattr(mine, name) / max(getattr(other, name), 0.01) for mine, other in zip(turns, base, strict=False)
        ]
        value = median(getattr(turn, name) for turn in turns)
        say(f"{words.get(name, name)}, {count} jobs, {who}", value, unit, against, median(ratios))


def main() -> None:
    """Reads the command line and measures."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--quick", action="store_true", help="1,000 jobs, one turn, beside APScheduler only")
    quick = parser.parse_args().quick
    here = _peers.there()
    peers = [name for name in PEERS if name in here and (name == "apscheduler" or not quick)]
    if absent := PEERS.keys() - set(here):
        print(f"not on this machine: {', '.join(sorted(absent))}", file=sys.stderr)
    with tempfile.TemporaryDirectory() as name, worker() as one:
        starts, job = Path(name) / "starts", Path(name) / "stamp"
        subprocess.run(["cc", "-O2", "-Wall", "-o", job, Path(__file__).with_name("stamp.c")], check=True)
        if not quick:
            measure(ours(one), 100, job, starts)  # warming up
        for count in (1000,) if quick else (100, 1000, 5000):
            turns: dict[str, list[Burst]] = {who: [] for who in ("ECTS", *peers)}
            for turn in range(1 if quick else 3):
                turns["ECTS"].append(measure(ours(one), count, job, starts))
                for peer in [peer for peer in peers if not turn or peer not in ONCE]:
                    with _telling(peer, count):
                        turns[peer].append(measure(PEERS[peer], count, job, starts))
            for who, bursts in turns.items():
                if bursts:
                    report(who, count, bursts, turns["ECTS"])


@contextmanager
def _telling(peer: str, count: int) -> Iterator[None]:
    """A peer that does not get all of them going has that for its figure."""
    try:
        yield
    except TooSlow as error:
        say(f"begun after {PATIENCE:g} s, {count} jobs, {peer}", error.begun, "jobs", "all", error.begun / count)


if __name__ == "__main__":
    main()
