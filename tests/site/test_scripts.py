"""The scripts: what can be asked of them without doing it."""

import subprocess

import pytest

from tests.site.processes import ROOT

SCRIPTS = [
    "scripts/start",
    "scripts/test",
    "scripts/lint",
    "scripts/bench",
    "scripts/simulate",
    "scripts/newest-etcd",
    "scripts/faults",
    "scripts/join",
    "scripts/service",
    "scripts/bare-host",
    ".ci/run",
]


@pytest.mark.parametrize("script", SCRIPTS)
def test_help(script: str) -> None:
    asked = subprocess.run([ROOT / script, "--help"], capture_output=True, text=True, timeout=20, cwd="/", check=False)
    assert asked.returncode == 0, asked.stderr
    assert f"Usage: {script}" in asked.stdout
