"""The systemd units: what systemd itself says of them, as they would be installed for this checkout."""

import subprocess
from pathlib import Path

import pytest

from tests.site.processes import ROOT

EXPOSURE = {"worker": 50, "web": 20, "master": 20}
"""Tenths; the most that ``systemd-analyze security`` may find. Workers run jobs, which need more than a web server."""


def printed(*command: str) -> dict[Path, str]:
    """What would be written, by path."""
    said = subprocess.run([str(ROOT / command[0]), *command[1:]], capture_output=True, text=True, cwd="/", check=True)
    files: dict[Path, str] = {}
    for line in said.stdout.splitlines():
        if line.startswith("# /etc/"):
            path = Path(line.removeprefix("# "))
            files[path] = ""
        else:
            files[path] += line + "\n"
    return files


def units(directory: Path, *command: str) -> Path:
    """The unit, with its drop-ins beside it."""
    places = {path: directory / path.relative_to("/etc/systemd/system") for path in printed(*command)}
    for path, text in printed(*command).items():
        places[path].parent.mkdir(exist_ok=True)
        places[path].write_text(text)
    return next(place for place in places.values() if place.suffix == ".service")


COMMANDS = {
    "worker": ["scripts/join", "--print", "--user", "ects-worker"],
    "web": ["scripts/service", "web", "--print"],
    "master": ["scripts/service", "master", "--print"],
}


@pytest.mark.parametrize("role", COMMANDS)
def test_systemd_understands_all_of_it(role: str, tmp_path: Path) -> None:
    unit = units(tmp_path, *COMMANDS[role])
    verified = subprocess.run(
        ["systemd-analyze", "--man=no", "verify", str(unit)], capture_output=True, text=True, check=False
    )
    assert (verified.returncode, verified.stderr) == (0, "")
    assert "/opt/ects" not in unit.read_text()


@pytest.mark.parametrize("role", COMMANDS)
def test_it_is_exposed_no_more_than_it_has_to_be(role: str, tmp_path: Path) -> None:
    unit = units(tmp_path, *COMMANDS[role])
    judged = subprocess.run(
        ["systemd-analyze", "security", "--offline=true", f"--threshold={EXPOSURE[role]}", "--no-pager", str(unit)],
        capture_output=True,
        text=True,
        check=False,
    )
    assert judged.returncode == 0, judged.stdout + judged.stderr


def test_a_worker_whose_steps_choose_their_user(tmp_path: Path) -> None:
    unit = units(tmp_path, "scripts/join", "--print", "--user", "root")
    verified = subprocess.run(
        ["systemd-analyze", "--man=no", "verify", str(unit)], capture_output=True, text=True, check=False
    )
    assert (verified.returncode, verified.stderr) == (0, "")
    dropin = (tmp_path / "ects-worker.service.d" / "root.conf").read_text()
    assert "\nUser=root\n" in dropin


def test_another_user_and_options_are_shown() -> None:
    shown = printed("scripts/join", "--print", "--user", "nobody", "--label", "site=berlin", "--capacity=8")
    by_name = {path.name: text for path, text in shown.items()}
    assert "User=nobody\nGroup=nogroup\n" in by_name["user.conf"]
    assert "ECTS_WORKER_OPTIONS=--label site=berlin --capacity 8\n" in by_name["worker.env"]


def test_the_line_stops_a_worker_as_it_wants_to_be_stopped() -> None:
    """The grace of the unit leaves the worker the time that it takes."""
    unit = next(iter(printed(*COMMANDS["worker"]).values()))
    values = dict(line.partition("=")[::2] for line in unit.splitlines() if "=" in line and not line.startswith("#"))
    assert values["KillMode"] == "mixed"
    assert values["Delegate"] == "yes"
    assert "--grace=30" in values["ExecStart"]
    assert int(values["TimeoutStopSec"]) >= 30 + 60
