"""Bench of a steady load: 500 pipelines that fire every second, on one worker, for a minute.

Prints one JSON object a line: {"figure", "value", "unit", "against", "ratio"}. Every expected fire must be in the
ledger exactly once and have run, else the bench fails and says what is missing; the lines tell how late they were, and
what the worker took.

The worker is the product's own process with its journal on disk, a private etcd and a console to which it delivers,
all on this machine. Each pipeline is ``* * * * * *``, may overlap, and has one shell step that writes down when it
began (bench/stamp.c). Lateness is told twice: of ``started_at`` of the step, as the ledger shows it in the end, and of
its program as that says itself. Programs are taken for the fires in the order in which they began. Processor time is
that of the worker and its jobs. APScheduler does the same afterwards, in memory; its ratio is its figure divided by
ours: 1 and more is good.
"""

import argparse
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path

from msgspec import structs

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from bench import _peers
from bench._worker import Worker, percentile, pipeline, read_starts, say, shell, soon, worker
from coordination.records import TERMINAL, RunRecord, StepRecord
from tests.etcd_server import wait_until

PIPELINES = 500
PATIENCE = 120.0
"""Seconds for the last fires to begin."""


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


def programs(starts: Path, since: datetime, fires: int) -> list[float]:
    """Milliseconds by which each program began after its instant, once all have."""
    wait_until(lambda: starts.stat().st_size >= 8 * fires, f"{fires} programs have begun", PATIENCE)
    begun = sorted(read_starts(starts))
    assert len(begun) == fires, f"{len(begun)} programs began instead of {fires}"
    return [(instant - since.timestamp() - number // PIPELINES) * 1e3 for number, instant in enumerate(begun)]


def report(what: str, values: Sequence[float], base: Sequence[float]) -> None:
    """p50, p99 and the largest; ``base``: those they are compared with, if not themselves."""
    for name, share in (("p50", 0.5), ("p99", 0.99), ("max", 1.0)):
        value, other = percentile(values, share), percentile(base, share)
        say(f"lateness of {what}, {name}", value, "ms", f"ECTS, programs: {other:.1f} ms", value / other)


def main() -> None:
    """Reads the command line and measures."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--quick", action="store_true", help="4 seconds")
    seconds = 4 if parser.parse_args().quick else 60
    with tempfile.TemporaryDirectory() as name:
        job = Path(name) / "stamp"
        subprocess.run(["cc", "-O2", "-Wall", "-o", job, Path(__file__).with_name("stamp.c")], check=True)
        base = ours(seconds, job, Path(name) / "starts")
        if "apscheduler" in _peers.there():
            report("programs, APScheduler", by_apscheduler(seconds, job, Path(name) / "its starts"), base)


def ours(seconds: int, job: Path, starts: Path) -> list[float]:
    """So many seconds of load on a worker."""
    starts.touch()
    fires = PIPELINES * seconds
    with worker() as one:
        since = soon(8)
        until = since + timedelta(seconds=seconds - 1)
        every_second = [pipeline(i, "* * * * * *", shell(f"{job} {starts}; :")) for i in range(PIPELINES)]
        one.publish([structs.replace(each, overlap="allow", starts_at=since, ends_at=until) for each in every_second])
        assert datetime.now(UTC) < since, "the pipelines were applied too late for their first second"
        time.sleep((since - datetime.now(UTC)).total_seconds())
        spent, memory = _peers.cost([one.process.pid])
        time.sleep(seconds)
        begun = programs(starts, since, fires)
        spent_after, memory_after = _peers.cost([one.process.pid])
        one.delivered()
        account(one, since, seconds)
        late = lateness(one)
    say("fires in the ledger, each exactly once", fires, "fires", "expected", 1)
    report("started_at", late, begun)
    report("programs", begun, begun)
    spent = spent_after - spent
    say("processor time", spent / fires * 1e3, "ms a fire", "one core", spent / seconds)
    say("memory after", memory_after, "MB", f"before: {memory:.1f} MB", memory_after / memory)
    return begun


def by_apscheduler(seconds: int, job: Path, starts: Path) -> list[float]:
    """The same load."""
    starts.touch()
    since = soon(8)
    with _peers.apscheduler("steady", PIPELINES, since, str(seconds), f"{job} '{starts}'; :") as pids:
        time.sleep(max((since - datetime.now(UTC)).total_seconds(), 0))
        spent, _memory = _peers.cost(pids)
        time.sleep(seconds)
        begun = programs(starts, since, PIPELINES * seconds)
        spent = _peers.cost(pids)[0] - spent
    say("processor time, APScheduler", spent / len(begun) * 1e3, "ms a fire", "one core", spent / seconds)
    return begun


if __name__ == "__main__":
    main()
