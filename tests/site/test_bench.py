"""The benchmarks are not run by the tests, but each can be loaded: what it needs of the project is there."""

import subprocess
import sys

from tests.site.processes import ROOT

LOAD = "import importlib, sys; [importlib.import_module(name) for name in sys.argv[1:]]; print(len(sys.argv) - 1)"


def test_each_can_be_loaded() -> None:
    names = [f"bench.{path.stem}" for path in sorted((ROOT / "bench").glob("[a-z]*.py"))]
    done = subprocess.run(
        [sys.executable, "-c", LOAD, *names], cwd=ROOT, capture_output=True, text=True, timeout=60, check=False
    )
    assert done.stdout.strip() == str(len(names)), done.stderr
    assert len(names) > 10
