"""A real cluster under load and under random faults, judged afterwards: ``scripts/cluster``."""

import argparse
import random
import shutil
import tempfile
import time
from collections import Counter
from collections.abc import Iterable, Sequence
from datetime import datetime
from pathlib import Path

from tests.cluster.cluster import Cluster, Wish
from tests.cluster.faults import KINDS, Faults, plan
from tests.faults.facts import Happened, Pipeline

WORKERS = 4

PATIENCE = 180.0
"""Seconds for all that is outstanding to be delivered."""

SHOWN = 50
"""Violations that are shown; all are kept."""


def main(arguments: Sequence[str] | None = None) -> int:
    """Exit status 1 when a promise is broken; then the files are kept."""
    options = _parser().parse_args(arguments)
    directory = Path(tempfile.mkdtemp(prefix="ects-cluster-"))
    print(f"seed {options.seed}; all files are in {directory}", flush=True)
    with Cluster(directory, WORKERS) as cluster:
        found = _stress(cluster, options)
    if found:
        (directory / "violations").write_text("\n".join(map(str, found)))
        print("\n".join(map(str, found[:SHOWN])))
        print(f"{len(found)} violations; see {directory}")
        return 1
    if not options.keep:
        shutil.rmtree(directory)
    print("every fire is accounted for, and none is doubled")
    return 0


def _stress(cluster: Cluster, options: argparse.Namespace) -> list[str]:
    chance = random.Random(options.seed)
    pipelines = [cluster.pipeline(_shared(chance)) for _ in range(options.shared)]
    load = Wish(placement="every")
    pipelines += [cluster.pipeline(load, cluster.workers[:1]) for _ in range(options.single)]
    seconds = options.minutes * 60
    began = time.monotonic()
    Faults(cluster, lambda line: print(line, flush=True)).carry_out(plan(options.seed, seconds, options.faults))
    time.sleep(max(began + seconds - time.monotonic(), 0))
    found, happened = cluster.verdict(pipelines, PATIENCE)
    _summarize(pipelines, happened)
    return found


def _shared(chance: random.Random) -> Wish:
    return Wish(
        period=chance.choice([1, 1, 1, 2, 5]),
        takes=chance.choice([0, 0, 0.5, 2, 8]),
        placement=chance.choice(["one_sticky", "one_spread"]),
        on_node_loss=chance.choice(["rerun", "abandon"]),
        overlap=chance.choice(["allow", "skip"]),
    )


def _summarize(pipelines: Iterable[Pipeline], happened: Happened) -> None:
    for kind, chosen in (
        ("shared", {p.document.pipeline for p in pipelines if p.is_shared}),
        ("on one worker", {p.document.pipeline for p in pipelines if not p.is_shared}),
    ):
        rows = [item.record for item in happened.entries if item.record.pipeline in chosen]
        rows = [row for row in rows if row.scheduled_at <= happened.until]
        jobs = [begun for begun in happened.executions if begun.pipeline in chosen and begun.instant <= happened.until]
        states = Counter[str]()
        reasons = Counter[str]()
        for row in rows:
            states[row.state] += row.count
            if row.state not in ("succeeded", "running"):
                reasons[f"{row.state}: {row.reason}"] += row.count
        late = sorted((begun.began - begun.instant).total_seconds() for begun in jobs if begun.attempt == 1)
        again = sum(begun.attempt > 1 for begun in jobs)
        print(f"{kind}: {len(chosen)} pipelines, {len(jobs)} jobs, {again} of them again; {dict(states)}")
        print(f"  begun late by (median, 90 %, 99 %, most): {_quantiles(late)}")
        for reason, count in reasons.most_common():
            print(f"  {count:6} {reason}")


def _quantiles(sizes: Sequence[float]) -> str:
    if not sizes:
        return "-"
    return ", ".join(f"{sizes[min(int(len(sizes) * part), len(sizes) - 1)]:.2f} s" for part in (0.5, 0.9, 0.99, 1))


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="scripts/cluster", description=__doc__)
    parser.add_argument("--minutes", type=float, default=2.0, help="how long it lasts (2)")
    parser.add_argument("--seed", type=int, default=int(datetime.now().timestamp()), help="of pipelines and faults")  # noqa: DTZ005
    parser.add_argument("--shared", type=int, default=50, help="pipelines that any of four workers runs (50)")
    parser.add_argument("--single", type=int, default=200, help="pipelines that fire each second on one worker (200)")
    parser.add_argument(
        "--faults", type=_kinds, default=KINDS, help="beside kills of workers, with commas: " + ", ".join(KINDS)
    )
    parser.add_argument("--keep", action="store_true", help="keep the files of a good end, too")
    return parser


def _kinds(text: str) -> tuple[str, ...]:
    kinds = tuple(filter(None, text.split(",")))
    if unknown := set(kinds) - set(KINDS):
        raise argparse.ArgumentTypeError(f"there are no such faults: {unknown}")
    return kinds


if __name__ == "__main__":
    raise SystemExit(main())
