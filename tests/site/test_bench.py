"""The benchmarks are not run by the tests, but each can be loaded: what it needs of the project is there."""

import subprocess
import sys

from msgspec import json

from bench._limits import LIMITS, Limit, broken
from tests.site.processes import ROOT

LOAD = "import importlib, sys; [importlib.import_module(name) for name in sys.argv[1:]]; print(len(sys.argv) - 1)"


def test_each_can_be_loaded() -> None:
    names = [f"bench.{path.stem}" for path in sorted((ROOT / "bench").glob("[a-z]*.py"))]
    done = subprocess.run(
        [sys.executable, "-c", LOAD, *names], cwd=ROOT, capture_output=True, text=True, timeout=240, check=False
    )
    assert done.stdout.strip() == str(len(names)), done.stderr
    assert len(names) > 10


def test_a_figure_below_its_bound_is_told() -> None:
    limits = [Limit("spawn", "rate", "C", 0.5), Limit("spawn", "gone", "C", 1)]
    turns = [{"figure": "rate", "against": "C: 1500 starts/s", "ratio": ratio} for ratio in (0.3, 0.49)]
    assert list(broken(limits, turns)) == [
        "spawn: rate, against C: 0.49, and at least 0.5 is expected",
        "spawn: gone, against C: there is no such figure",
    ]
    turns.append({"figure": "rate", "against": "C: 1200 starts/s", "ratio": 0.6})
    assert len(list(broken(limits, turns))) == 1, "the best turn counts"


def test_what_is_recorded_is_within_the_bounds() -> None:
    for limit in LIMITS:
        lines = (ROOT / "docs" / "figures" / "bench" / f"{limit.bench}.jsonl").read_text().splitlines()
        figures = [line for line in map(json.decode, lines) if "figure" in line]
        ratio = limit.best(figures)
        assert ratio is not None, limit
        assert ratio >= limit.least, limit
