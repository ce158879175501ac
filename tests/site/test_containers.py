"""The compose file parses, hangs together, and its commands are commands of this installation."""

import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml

ROOT = Path(__file__).resolve().parents[2]
COMPOSE: dict[str, Any] = yaml.safe_load((ROOT / "docker" / "compose.yaml").read_text())
OURS = {name: it for name, it in COMPOSE["services"].items() if it["image"] == "ects"}


def test_the_parts_are_there() -> None:
    assert set(OURS) == {"setup", "web", "master", "worker-1", "worker-2"}
    assert {"etcd", "mysql"} <= set(COMPOSE["services"])


def test_what_is_used_is_declared() -> None:
    for service in COMPOSE["services"].values():
        assert set(service.get("secrets", ())) <= set(COMPOSE["secrets"])
        assert set(service.get("depends_on", ())) <= set(COMPOSE["services"])
        assert {volume.split(":")[0] for volume in service.get("volumes", ())} <= set(COMPOSE["volumes"])
        for name, value in service.get("environment", {}).items():
            if name.endswith("_FILE"):
                assert value.removeprefix("/run/secrets/") in service["secrets"]


def test_no_secret_is_in_it() -> None:
    text = (ROOT / "docker" / "compose.yaml").read_text() + (ROOT / "docker" / "Dockerfile").read_text()
    assert "PASSWORD:" not in text.replace("PASSWORD_FILE:", "").replace("RANDOM_ROOT_PASSWORD:", "")


@pytest.mark.parametrize("name", OURS)
def test_its_command_is_one_of_ours(name: str, tmp_path: Path) -> None:
    command = OURS[name]["command"]
    environment = os.environ | {"ECTS_DATA_DIR": str(tmp_path)}
    if command[0] == "gunicorn":
        checked = [sys.executable, "-m", "gunicorn", "--check-config", *command[1:]]
    else:
        checked = [sys.executable, *command[1:], "--help"]
    done = subprocess.run(checked, cwd=ROOT, env=environment, capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stderr


def test_setup_runs_twice_and_its_token_lets_a_worker_join(tmp_path: Path) -> None:
    token = tmp_path / "token"
    command = [sys.executable, *OURS["setup"]["command"][1:]]
    command[command.index("--token-file") + 1] = str(token)
    password = tmp_path / "password"
    password.write_text("from a file")
    environment = os.environ | {"ECTS_DATA_DIR": str(tmp_path / "var"), "ECTS_ADMIN_PASSWORD_FILE": str(password)}
    environment["ECTS_DATABASE_URL"] = f"sqlite:///{tmp_path / 'db.sqlite3'}"
    for _ in range(2):
        done = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, timeout=60)
        assert done.returncode == 0, done.stderr
        assert "from a file" not in done.stdout
        assert token.read_text().startswith("ects1.")
        assert token.stat().st_mode & 0o777 == 0o600
