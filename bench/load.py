"""Bench of a steady load: 200 pipelines that fire every second, on one worker, for two minutes.

Prints one JSON object a line: {"figure", "value", "unit", "against", "ratio"}. Every expected fire must be in the
ledger exactly once and have run, else the bench fails and says what is missing; the lines tell how late they were, and
what the worker took.

The worker is the product's own process with its journal on disk, a private etcd and a console to which it delivers,
all on this machine. Each pipeline is ``* * * * * *`` with one shell step, ``/bin/true``. Lateness is told twice: of
``started_at`` of the step, as the ledger shows it, and of its program: between the two the step's beginning is written
to disk. When programs were started is written down by the worker (bench/_starts.py); it takes less than a second, so
that the second is known. Processor time is that of the worker's own process, its children not counted.
"""

import argparse
import sys
import tempfile
import time
from collections import Counter
from datetime import UTC, datetime, timedelta
from pathlib import Path

from msgspec import structs

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from bench._worker import Worker, percentile, pipeline, read_starts, say, shell, soon, worker
from coordination.records import TERMINAL, RunRecord, StepRecord

PIPELINES = 200
SETTLE = 3.0
"""Seconds after the last fire, before the bench looks."""


def expected(since: datetime, seconds: int) -> set[tuple[str, datetime]]:
    """What the ledger must show: (pipeline, instant)."""
    instants = [since + timedelta(seconds=second) for second in range(seconds)]
    return {(pipeline(i, "@manual").pipeline, instant) for i in range(PIPELINES) for instant in instants}


def account(one: Worker, since: datetime, seconds: int) -> None:
    """Fails unless each expected fire ended exactly once, by running."""
    ends = [r for r in one.console.records() if isinstance(r, RunRecord) and r.state in TERMINAL]
    times = Counter((run.pipeline, run.scheduled_at) for run in ends)
    wanted = expected(since, seconds)
    missing, extra = wanted - times.keys(), times.keys() - wanted
    doubled = [fire for fire, number in times.items() if number > 1]
    other = Counter(f"{run.state}: {run.reason}" for run in ends if run.state != "succeeded")
    wrong = {"missing": len(missing), "extra": len(extra), "doubled": len(doubled)}
    assert not any(wrong.values()), f"the ledger is wrong: {wrong}"
    assert not other, f"not all fires ran: {dict(other)}"


def lateness(one: Worker) -> list[float]:
    """Milliseconds by which each step began after its instant."""
    ends = [r for r in one.console.records() if isinstance(r, RunRecord | StepRecord) and r.state in TERMINAL]
    instants = {run.run: run.scheduled_at for run in ends if isinstance(run, RunRecord)}
    steps = [step for step in ends if isinstance(step, StepRecord)]
    return [(step.started_at - instants[step.run]).total_seconds() * 1e3 for step in steps if step.started_at]


def main() -> None:
    """Reads the command line and measures."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--quick", action="store_true", help="15 seconds")
    seconds = 15 if parser.parse_args().quick else 120
    with tempfile.TemporaryDirectory() as name:
        measure(seconds, Path(name) / "starts")


def measure(seconds: int, starts: Path) -> None:
    """So many seconds of load."""
    with worker(module="bench._starts", variables={"BENCH_STARTS": str(starts)}) as one:
        since = soon(6)
        until = since + timedelta(seconds=seconds - 1)
        every_second = [pipeline(i, "* * * * * *", shell("/bin/true")) for i in range(PIPELINES)]
        one.publish([structs.replace(each, starts_at=since, ends_at=until) for each in every_second])
        assert datetime.now(UTC) < since, "the pipelines were applied too late for their first second"
        time.sleep((since - datetime.now(UTC)).total_seconds())
        memory, spent = one.resident(), one.cpu()
        time.sleep(seconds + SETTLE)
        memory_after, spent = one.resident(), one.cpu() - spent
        one.delivered()
        account(one, since, seconds)
        late = lateness(one)
    started = [instant % 1 * 1e3 for instant in read_starts(starts)]
    fires = PIPELINES * seconds
    say("fires in the ledger, each exactly once", fires, "fires", "expected", 1)
    for what, values in (("started_at", late), ("program", started)):
        for name, share in (("p50", 0.5), ("p99", 0.99), ("max", 1.0)):
            value = percentile(values, share)
            say(f"lateness of {what}, {name}", value, "ms", "the next second", value / 1e3)
    say("processor time of the worker", spent / fires * 1e3, "ms a fire", "one core", spent / seconds)
    say("memory after", memory_after, "MB", f"before: {memory:.1f} MB", memory_after / memory)


if __name__ == "__main__":
    main()
