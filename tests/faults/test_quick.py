"""The short form of ``scripts/faults``: every kind of fault once, on a real installation."""

import json
import subprocess
import sys
from pathlib import Path

from tests.faults.quick import ROUNDS
from tests.site.processes import ROOT

WITHIN = 780.0


def test_every_fire_is_accounted_for_whatever_breaks(tmp_path: Path) -> None:
    results = tmp_path / "results"
    done = subprocess.run(
        [sys.executable, "-m", "tests.faults.command", "--quick", "--results", str(results)],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=WITHIN,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    lines = [json.loads(line) for line in results.read_text().splitlines()]
    assert [(line["scenario"], line["verdict"]) for line in lines] == [(each.name, "passed") for each in ROUNDS]
    assert all(line["ran"] > 0 for line in lines)
