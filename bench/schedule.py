"""Bench of the schedule engine: the cost of a next fire beside cronsim and croniter, and of loading 100,000 schedules.

Prints one JSON object a line: {"figure", "value", "unit", "against", "ratio"}; a ratio above 1 means that the engine is
that many times cheaper. Both sides of a ratio are measured in turns within one run, and medians are taken.
"""

import argparse
import json
import subprocess
import sys
import uuid
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from statistics import median
from time import perf_counter
from zoneinfo import ZoneInfo

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from croniter import croniter
from cronsim import CronSim

from workers.engine.schedule import Schedule

EXPRESSIONS = (
    "* * * * *", "*/5 * * * *", "*/15 9-17 * * mon-fri", "30 2 * * *", "0 0 * * *", "0 9 * * mon", "23 0-23/2 * * *",
    "0 22 * * 1-5", "15 14 1 * *", "0 0 1,15 * 3", "0 4 8-14 * *", "5 4 * * sun", "0 12 L * *", "0 0 1 1 *",
)  # fmt: skip
ZONES = ("UTC", "Europe/Paris", "America/New_York", "Australia/Lord_Howe")
START = datetime(2026, 1, 1, 0, 0, 30, tzinfo=UTC)

Timed = Callable[[str, str, int], float]


def engine(text: str, zone: str, count: int) -> float:
    """Seconds for a fire, ``count`` of them one after the other."""
    schedule = Schedule.parse(text, timezone=zone)
    moment = START
    begin = perf_counter()
    for _ in range(count):
        moment = schedule.next(moment)
    return (perf_counter() - begin) / count


def with_cronsim(text: str, zone: str, count: int) -> float:
    """The same by cronsim."""
    walk = CronSim(text, START.astimezone(ZoneInfo(zone)))
    begin = perf_counter()
    for _ in range(count):
        next(walk)
    return (perf_counter() - begin) / count


def with_croniter(text: str, zone: str, count: int) -> float:
    """The same by croniter."""
    walk = croniter(text, START.astimezone(ZoneInfo(zone)))
    begin = perf_counter()
    for _ in range(count):
        walk.get_next(datetime)
    return (perf_counter() - begin) / count


def report(figure: str, value: float, unit: str, against: str, ratio: float) -> None:
    """One line of output."""
    line = {"figure": figure, "value": round(value, 3), "unit": unit, "against": against, "ratio": round(ratio, 2)}
    print(json.dumps(line), flush=True)


def bench_next(against: str, other: Timed, rounds: int, count: int) -> None:
    """Every expression in every zone, ``rounds`` times in turns; the median of each is what counts."""
    ours, theirs = [], []
    for text in EXPRESSIONS:
        for zone in ZONES:
            pairs = [(engine(text, zone, count), other(text, zone, count)) for _ in range(rounds)]
            ours.append(median(mine for mine, _ in pairs))
            theirs.append(median(his for _, his in pairs))
    ratios = [his / mine for mine, his in zip(ours, theirs, strict=True)]
    microseconds = sum(ours) / len(ours) * 1e6
    report("next fire, whole mix", microseconds, "us", against, sum(theirs) / sum(ours))
    report("next fire, median expression", microseconds, "us", against, median(ratios))
    report("next fire, worst expression", microseconds, "us", against, min(ratios))


def resident() -> int:
    """Bytes of resident memory of this process."""
    return int(Path("/proc/self/statm").read_text().split()[1]) * 4096


def texts(count: int) -> list[tuple[str, str, str]]:
    """(expression, zone, key) of schedules as a large installation has them: few shapes, many times of day."""
    shapes = (
        lambda i: f"{i % 60} {i // 60 % 24} * * *",
        lambda i: f"{i % 60} {i // 7 % 24} * * {i % 7}",
        lambda i: f"{i % 60} {i // 11 % 60} {i // 3600 % 24} * * *",
        lambda i: f"*/{2 + i % 29} * * * *",
        lambda i: f"{i % 60} {i % 24} {1 + i % 28} * *",
        lambda i: "H H * * *",
        lambda i: f"@every {60 + i % 3600}s",
    )
    return [(shapes[i % len(shapes)](i), ZONES[i % len(ZONES)], str(uuid.UUID(int=i))) for i in range(count)]


def load(kind: str, count: int) -> None:
    """Load ``count`` schedules in this process; print seconds and megabytes."""
    rows = texts(count)
    if kind == "croniter":
        rows = [(text, zone, key) for text, zone, key in rows if text[0] not in "H@"][:count]
    before, begin = resident(), perf_counter()
    if kind == "engine":
        kept = [Schedule.parse(text, timezone=zone, key=key) for text, zone, key in rows]
    else:
        kept = [croniter(text, START.astimezone(ZoneInfo(zone)), second_at_beginning=True) for text, zone, _ in rows]
    seconds, megabytes = perf_counter() - begin, (resident() - before) / 1e6
    print(json.dumps([seconds, megabytes, len(kept)]))


def bench_load(rounds: int, count: int) -> None:
    """Time and memory of loading, each in a fresh process; croniter with a twentieth, scaled."""

    def run(kind: str, count: int) -> tuple[float, float]:
        command = [sys.executable, __file__, "--load", kind, str(count)]
        seconds, megabytes, loaded = json.loads(subprocess.run(command, check=True, capture_output=True).stdout)
        return seconds / loaded, megabytes / loaded

    ours = [run("engine", count) for _ in range(rounds)]
    theirs = [run("croniter", count // 20) for _ in range(rounds)]
    for index, (figure, unit) in enumerate((("load", "s"), ("memory of", "MB"))):
        mine, other = (median(result[index] for result in results) for results in (ours, theirs))
        report(f"{figure} {count} schedules", mine * count, unit, "croniter", other / mine)


def main() -> None:
    """Run the benches, or as a child process one load."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--quick", action="store_true", help="fewer rounds: a few seconds in all")
    parser.add_argument("--load", nargs=2, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.load:
        load(options.load[0], int(options.load[1]))
        return
    rounds, count = (3, 10) if options.quick else (7, 50)
    bench_next("cronsim", with_cronsim, rounds, count)
    bench_next("croniter", with_croniter, rounds, count)
    bench_load(1 if options.quick else 3, 100_000)


if __name__ == "__main__":
    main()
