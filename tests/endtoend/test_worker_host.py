"""A host that only executes: with requirements-worker.txt and nothing else it joins and runs a job."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.endtoend.installation import ROOT, Installation, wait_for

ELSEWHERE = ("mysqlclient", "djangorestframework", "django-unfold", "gunicorn", "django-environ", "PyYAML", "pytest")
"""Some of what the console or the tests need."""


@pytest.fixture(scope="module")
def python(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Of a virtual environment that holds a worker's requirements."""
    directory = tmp_path_factory.mktemp("worker-venv")
    subprocess.run([sys.executable, "-m", "venv", directory], check=True)
    install = [directory / "bin" / "python", "-m", "pip", "install", "--quiet", "-r", ROOT / "requirements-worker.txt"]
    subprocess.run(install, check=True, timeout=300)
    return directory / "bin" / "python"


def _run(python: Path, *words: str, **environment: str) -> subprocess.CompletedProcess[str]:
    clean = {name: value for name, value in os.environ.items() if not name.startswith(("ECTS_", "DJANGO_"))}
    command = [str(python), "manage.py", *words]
    return subprocess.run(
        command, cwd=ROOT, env=clean | environment, capture_output=True, text=True, timeout=60, check=False
    )


def test_it_joins_and_runs_a_job(ects: Installation, python: Path) -> None:
    held = subprocess.run([python, "-m", "pip", "freeze"], check=True, capture_output=True, text=True).stdout
    assert not [name for name in ELSEWHERE if name.lower() in held.lower()]
    token = ects.post("enrolment-tokens/", {"node": None, "uses": 1, "expires_in": 600})["token"]
    state = ["--state-dir", str(ects.directory / "worker-alone")]
    wish = ["--server", ects.url, "--name", "alone", "--desc", "nothing but a worker"]
    joined = _run(python, "runworker", *wish, *state, "--enrol-only", ECTS_ENROLMENT_TOKEN=token)
    assert joined.returncode == 0, joined.stderr
    assert "joined as alone" in joined.stderr

    ects.workers.append(ects.manage("runworker", *state, python=str(python)))
    [node] = wait_for(
        "it is online", lambda: [n for n in ects.nodes() if n["name"] == "alone" and n["status"] == "online"]
    )
    assert node["description"] == "nothing but a worker"
    pipeline = ects.pipeline("@manual", [{"task": ects.task("shell", "echo $ECTS_NODE")}], nodes=[node["id"]])
    assert ects.run_now(pipeline)["state"] == "succeeded"


def test_another_command_says_what_it_lacks(python: Path, tmp_path: Path) -> None:
    refused = _run(python, "single", ECTS_DATA_DIR=str(tmp_path))
    assert refused.returncode == 1
    assert "install requirements.txt" in refused.stderr
    assert "Traceback" not in refused.stderr
