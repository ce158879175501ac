"""The command line of a worker: what it takes, refuses, and hands over."""

import argparse
import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.site.processes import ROOT
from workers.host import handover, options


def _parse(*words: str) -> argparse.Namespace:
    parser = argparse.ArgumentParser()
    options.add(parser, Path("/var/lib/ects"), "[::1]:9703")
    return parser.parse_args(words)


def test_the_original_system_s_flags_are_taken() -> None:
    given = _parse(
        *("--name", "web-1", "--desc", "in the cellar", "--node", "0D3C7E6C-6E4D-4D5E-9F55-5A5B7C1F0E11"),
        *("--etcd", "a:2379, [::1]:2380", "--config", "/ects/config"),
    )
    assert given.node == "0d3c7e6c-6e4d-4d5e-9f55-5a5b7c1f0e11"
    assert (given.name, given.description, given.config) == ("web-1", "in the cellar", "/ects")
    assert given.etcd == ("a:2379", "[::1]:2380")


@pytest.mark.parametrize(
    "wrong",
    [
        ["--node", "web-1"],
        ["--etcd", "http://a:2379"],
        ["--etcd", "a"],
        ["--etcd", ","],
        ["--etcd", "a:99999"],
        ["--config", "ects"],
        ["--config", "/config"],
        ["--label", "berlin"],
        ["--label", "=berlin"],
        ["--capacity", "-1"],
        ["--capacity", "many"],
        ["--grace", "nan"],
        ["--metrics", "9703"],
    ],
)
def test_what_cannot_be_is_refused(wrong: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        _parse(*wrong)
    assert wrong[0] in capsys.readouterr().err


def test_the_engine_gets_what_it_needs_and_no_secret() -> None:
    metrics = _parse().metrics
    words = handover.command(
        Path("/s"), version="1", capacity="2", grace="3", labels=["a=b"], etcd=("e:1", "f:1"), metrics=metrics
    )
    assert " ".join(words[1:]) == (
        "-m workers.engine --state-dir /s --version 1 --capacity 2 --grace 3 --label a=b --metrics [::1]:9703 "
        "--etcd e:1,f:1"
    )
    kept = handover.environment({"PATH": "/bin", "ECTS_ENROLMENT_TOKEN": "x", "ECTS_SECRET_KEY": "y"})
    assert kept == {"PATH": "/bin", "MALLOC_ARENA_MAX": "2"}


def _manage(*words: str, **environment: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "manage.py", *words]
    return subprocess.run(
        command, cwd=ROOT, env=os.environ | environment, capture_output=True, text=True, timeout=240, check=False
    )


def test_it_reads_and_makes_no_secret_of_the_console(tmp_path: Path) -> None:
    done = _manage("runworker", "--server", "https://127.0.0.1:1", "--token", "ects1.x.y", ECTS_DATA_DIR=str(tmp_path))
    assert done.returncode == 1
    assert "cannot be reached" in done.stderr
    assert sorted(path.name for path in tmp_path.rglob("*") if path.is_file()) == ["enrolment.json", "lock"]


def test_a_refusal_ends_with_2(tmp_path: Path) -> None:
    done = _manage("runworker", ECTS_DATA_DIR=str(tmp_path))
    assert done.returncode == 2
    assert "give --server and an enrolment token" in done.stderr


def test_jobs_have_the_zone_of_their_host() -> None:
    """Django would set its default, and every job would inherit it."""
    environment = {name: value for name, value in os.environ.items() if name != "TZ"}
    environment["DJANGO_SETTINGS_MODULE"] = "ects_site.worker_settings"
    code = "import os; from django.conf import settings; settings.USE_TZ; print(os.environ.get('TZ', 'as the host'))"
    command = [sys.executable, "-c", code]
    found = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, check=True)
    assert found.stdout == "as the host\n"
