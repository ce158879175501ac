"""The harness does what it says: cuts are cuts, in the way that is asked for, and what is left is seen."""

import json
import subprocess
import sys

from tests.site.processes import ROOT


def test_what_is_seen_in_a_world_of_its_own() -> None:
    done = subprocess.run(
        [sys.executable, "-m", "tests.faults.tour"], cwd=ROOT, capture_output=True, text=True, timeout=240, check=False
    )
    assert done.returncode == 0, done.stderr
    seen = json.loads(done.stdout)
    ways = {
        "none": [True, True],
        "both": [False, False],
        "in": [True, False],
        "out": [False, True],
        "restored": [True, True],
    }
    assert seen["ways"] == [ways, ways]
    assert seen["left"] == {
        "of n1": ["sleep 600"],
        "of n2": [],
        "of all": ["sleep 600"],
        "told by a stage": ["orphan", "orphan"],
        "at the end": [],
    }
