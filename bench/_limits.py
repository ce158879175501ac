"""What no change may make slower: bounds of ratios, which are within one run and so hold on any machine.

Each is about half of what is recorded in docs/figures/bench, so that noise does not reach it and a mistake does: work
that is done twice, a copy of everything, a scan instead of a look-up. A benchmark whose figures are out of bounds is
run again, ``TRIES`` times in all; the best of each figure counts.
"""

import subprocess
import sys
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from msgspec import json

TRIES = 3

Figure = dict[str, Any]


@dataclass(frozen=True)
class Limit:
    """The ratio of this figure, against whom, may not be below."""

    bench: str
    figure: str
    against: str
    least: float

    def best(self, figures: Iterable[Figure]) -> float | None:
        """The largest ratio of several turns; None when there is no such figure."""
        ratios = [
            line["ratio"]
            for line in figures
            if line["figure"] == self.figure and line["against"].startswith(self.against)
        ]
        return max(ratios, default=None)


LIMITS = (
    Limit("schedule", "next fire, whole mix", "cronsim", 8),
    Limit("schedule", "next fire, worst expression", "cronsim", 1.2),
    Limit("schedule", "next fire, whole mix", "croniter", 14),
    Limit("schedule", "load 100000 schedules", "croniter", 4),
    Limit("schedule", "memory of 100000 schedules", "croniter", 3),
    Limit("spawn", "spawner: echo hello; :", "posix_spawn in C", 0.5),
    Limit("spawn", "runs: echo hello; :", "posix_spawn in C", 0.45),
    Limit("spawn", "runs: /bin/true; : while holding 300 MB", "posix_spawn in C", 0.45),
    Limit("ingest", "ingest, one node", "bulk_create", 0.8),
    Limit("ingest", "ingest, one node, beginnings and ends", "bulk_create", 0.7),
    Limit("nodes", "a change to its node, 100 workers", "every worker watches all nodes", 1.3),
    Limit("nodes", "etcd's processor, 100 workers", "every worker watches all nodes", 2),
    Limit("publish", "save to the worker's watch", "a bare put", 0.015),
    Limit("idle", "idle worker, rss, http", "40 MB", 0.6),
    Limit("idle", "guard, rss, http", "a bare Python with asyncio", 1.2),
    Limit("idle", "exec until ready, http", "1 s", 1),
    Limit("load", "fires in the ledger, each exactly once", "expected", 1),
)


def run(bench: str) -> list[Figure]:
    """The figures of one short turn: none when the benchmark itself finds something wrong, and says so."""
    done = subprocess.run([sys.executable, f"bench/{bench}.py", "--quick"], check=False, stdout=subprocess.PIPE)
    if done.returncode:
        return []
    return [json.decode(line) for line in done.stdout.splitlines()]


def broken(limits: Sequence[Limit], figures: Sequence[Figure]) -> Iterator[str]:
    """Sentences on what is out of bounds, or missing."""
    for limit in limits:
        ratio = limit.best(figures)
        what = f"{limit.bench}: {limit.figure}, against {limit.against}"
        if ratio is None:
            yield f"{what}: there is no such figure"
        elif ratio < limit.least:
            yield f"{what}: {ratio:g}, and at least {limit.least:g} is expected"


def main() -> int:
    """Checks all, and prints what it saw."""
    wrong: list[str] = []
    for bench in dict.fromkeys(limit.bench for limit in LIMITS):
        limits = [limit for limit in LIMITS if limit.bench == bench]
        figures: list[Figure] = []
        for _ in range(TRIES):
            figures += run(bench)
            if not (found := list(broken(limits, figures))):
                break
        wrong += found
        for limit in limits:
            print(f"{bench}: {limit.figure}: {limit.best(figures)} (at least {limit.least:g})", flush=True)
    for sentence in wrong:
        print(sentence, file=sys.stderr)
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
