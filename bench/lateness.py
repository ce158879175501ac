"""Bench of firing on time: 1,000 fires of one second, on a worker that holds 100,000 schedules beside them.

Prints one JSON object a line: {"figure", "value", "unit", "against", "ratio"}; the ratio is the time aimed at divided
by ours, so that 1 and more is good.

The worker is the product's own process with its journal on disk, a private etcd and a console. The 100,000 pipelines
are mixed expressions in four zones, found in the journal as after a restart; none of them is due meanwhile. The 1,000
come through etcd and all name the same second. They have no steps: timer, plan, ledger, places, journal and delivery
are the product's, only nothing is spawned. Two latenesses are told, both counted from the scheduled instant:

- "decision": when the schedule engine (timer and plan) has handed over the fire, whatever it is then to do
  (bench/_decisions.py); this is what has to stay within the aim;
- "run": the run's ``started_at`` minus its ``scheduled_at``, as the ledger shows both. One process has then carried out
  the runs before it, from its beginning to its end, journal included.
"""

import argparse
import sys
import tempfile
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from statistics import median
from typing import NamedTuple

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from msgspec import structs

from bench._worker import Worker, at, percentile, pipeline, read_starts, say, soon, worker
from coordination.documents import PipelineDocument

AIM = 20.0
"""Milliseconds."""

DUE = 1000
FIRST_BACKGROUND = 10_000
ZONES = ("UTC", "Europe/Paris", "America/New_York", "Australia/Lord_Howe")


def background(count: int) -> list[PipelineDocument]:
    """Pipelines that are due within a year, but not within the next hours: they fill the plan and nothing else."""
    month = (datetime.now(UTC) + timedelta(days=62)).month
    shapes: tuple[Callable[[int], str], ...] = (
        lambda i: f"{i % 60} {i // 60 % 24} {1 + i % 28} {month} *",
        lambda i: f"{i % 60} {i // 11 % 60} {i // 3600 % 24} * {month} *",
        lambda i: f"*/{2 + i % 29} * * {month} *",
        lambda i: f"{i % 60} {i % 24} * {month} {i % 7}",
        lambda i: f"H H L {month} *",
        lambda i: f"@every {30 * 86400 + i}s",
    )
    return [
        structs.replace(pipeline(FIRST_BACKGROUND + i, shapes[i % len(shapes)](i)), timezone=ZONES[i % len(ZONES)])
        for i in range(count)
    ]


class Lateness(NamedTuple):
    """Milliseconds, of each of the fires of one second."""

    decision: list[float]
    run: list[float]


def turn(one: Worker, decisions: Path) -> Lateness:
    """One second with all its fires."""
    second = soon(6)
    one.publish([pipeline(i, at(second)) for i in range(DUE)])
    assert datetime.now(UTC) < second, "the pipelines were applied too late for their second: take a later one"
    decisions.write_bytes(b"")
    runs = [(run.started_at - second).total_seconds() * 1e3 for run in one.ended(second, DUE) if run.started_at]
    decided = [(instant - second.timestamp()) * 1e3 for instant in read_starts(decisions)]
    assert len(decided) >= DUE, f"{len(decided)} decisions"  # one of the 100,000 may be due, too
    return Lateness(decided, runs)


def main() -> None:
    """Reads the command line and measures."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--quick", action="store_true", help="10,000 schedules and one turn instead of ten")
    quick = parser.parse_args().quick
    schedules = 10_000 if quick else 100_000
    with tempfile.NamedTemporaryFile() as file:
        decisions, variables = Path(file.name), {"BENCH_DECISIONS": file.name}
        with worker(remembered=background(schedules), module="bench._decisions", variables=variables) as one:
            say(f"memory with {schedules} pipelines", one.resident(), "MB", "the same", 1)
            turn(one, decisions)  # the first is warming up
            turns = [turn(one, decisions) for _ in range(1 if quick else 10)]
    for kind in Lateness._fields:
        lists = [getattr(each, kind) for each in turns]
        for name, share in (("p50", 0.5), ("p99", 0.99), ("max", 1.0)):
            value = median(percentile(late, share) for late in lists)
            say(f"{kind}, lateness {name}, {DUE} fires of one second", value, "ms", f"{AIM:g} ms", AIM / value)
        worst = max(percentile(late, 0.99) for late in lists)
        say(f"{kind}, lateness p99, worst turn", worst, "ms", f"{AIM:g} ms", AIM / worst)


if __name__ == "__main__":
    main()
