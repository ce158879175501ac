"""The compose files hang together, give nobody more rights than it needs, and their commands are those of ECTS."""

import os
import shutil
import sqlite3
import stat
import subprocess
import sys
from collections.abc import Iterator
from contextlib import closing, suppress
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import yaml

from coordination.errors import AuthenticationFailed, Unavailable
from coordination.etcd import EtcdAccounts
from coordination.gateway import EtcdSettings
from tests.etcd_server import binary, free_ports, wait_until

ROOT = Path(__file__).resolve().parents[2]
DOCKER = ROOT / "docker"
COMPOSE: dict[str, Any] = yaml.safe_load((DOCKER / "compose.yaml").read_text())
THREE: dict[str, Any] = yaml.safe_load((DOCKER / "compose.three-etcd.yaml").read_text())
SERVICES: dict[str, Any] = COMPOSE["services"]
OURS = {name: it for name, it in SERVICES.items() if it["image"] == "ects"}


@pytest.fixture(scope="module")
def prepared(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A copy of docker/ with what ``docker/prepare`` makes."""
    directory = tmp_path_factory.mktemp("docker")
    shutil.copy(DOCKER / "prepare", directory)
    subprocess.run([directory / "prepare"], check=True, capture_output=True, timeout=240)
    return directory


def test_the_parts_are_there() -> None:
    assert set(OURS) == {"setup", "web", "master", "backup", "worker-1", "worker-2"}
    assert {"etcd", "mariadb"} <= set(SERVICES)
    assert OURS["master"]["deploy"]["replicas"] == 2


def test_what_is_used_is_declared(prepared: Path) -> None:
    for service in SERVICES.values():
        assert set(service.get("secrets", ())) <= set(COMPOSE["secrets"])
        assert set(service.get("depends_on", ())) <= set(SERVICES)
        assert {volume.split(":")[0] for volume in service.get("volumes", ())} <= set(COMPOSE["volumes"])
        for value in service.get("environment", {}).values():
            if value.startswith("/run/secrets/"):
                assert value.removeprefix("/run/secrets/") in service["secrets"]
    for secret in COMPOSE["secrets"].values():
        assert (prepared / secret["file"]).is_file()


@pytest.mark.parametrize("name", SERVICES)
def test_it_has_no_more_rights_than_it_needs(name: str) -> None:
    service = SERVICES[name]
    assert service["read_only"]
    assert service["cap_drop"] == ["ALL"]
    assert "cap_add" not in service
    assert service["security_opt"] == ["no-new-privileges:true"]
    text = (DOCKER / "Dockerfile").read_text()
    target = text.split(f" AS {service.get('build', {}).get('target', 'ects')}\n")[1].split("\nFROM")[0]
    assert service.get("user") == "mysql" if name == "mariadb" else "\nUSER e" in target
    assert "healthcheck" in service or name in ("setup", "backup")


def test_the_token_is_for_the_workers_that_are_there() -> None:
    workers = [name for name in OURS if name.startswith("worker-")]
    assert f"--uses={len(workers)}" in SERVICES["setup"]["command"]
    for name in workers:
        assert "enrolment:/enrolment:ro" in SERVICES[name]["volumes"]
    assert {name for name, it in SERVICES.items() if "enrolment:" in str(it.get("volumes"))} == {"setup", *workers}


@pytest.mark.parametrize("name", ["etcd", "etcd-2", "etcd-3"])
def test_three_members_know_each_other(name: str) -> None:
    member = THREE["services"][name]
    environment = SERVICES["etcd"]["environment"] | member["environment"]
    assert environment["ETCD_NAME"] == name
    assert f"{name}={environment['ETCD_INITIAL_ADVERTISE_PEER_URLS']}" in environment["ETCD_INITIAL_CLUSTER"].split(",")
    for client in ("setup", "web", "master"):
        endpoints = THREE["services"][client]["environment"]["ECTS_ETCD_ENDPOINTS"].split(",")
        assert environment["ETCD_ADVERTISE_CLIENT_URLS"].removeprefix("https://") in endpoints


def test_the_backup_has_its_programs_and_room() -> None:
    stages = {it.split("\n")[0].split(" AS ")[1]: it for it in (DOCKER / "Dockerfile").read_text().split("\nFROM ")[1:]}
    assert {"mariadb-client", "libmariadb3"} <= set(stages["ects"].split())
    service = SERVICES["backup"]
    scratch, data = service["environment"]["TMPDIR"], "/var/lib/ects"
    assert f"ECTS_DATA_DIR={data}" in stages["ects"]
    mounted = {place for _name, place, *options in (it.split(":") for it in service["volumes"]) if "ro" not in options}
    assert {scratch, data} <= mounted
    assert not {scratch, data} & set(service["tmpfs"])
    # A volume begins with the owner of the directory that is in its place.
    assert f"install -d -o ects -m 700 {data} " in stages["ects"]


def test_what_backup_writes_restore_reads_and_nothing_is_left(prepared: Path, tmp_path: Path) -> None:
    secrets, scratch = prepared / "secrets", tmp_path / "scratch"
    scratch.mkdir()

    def run(command: list[str | Path], var: str, **options: Any) -> subprocess.CompletedProcess[bytes]:
        environment = os.environ | {
            "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}",
            "ECTS_DATA_DIR": str(tmp_path / var),
            "ECTS_DATABASE_URL": f"sqlite:///{tmp_path / var}.sqlite3",
            "ECTS_SECRET_KEY_FILE": str(secrets / "secret_key"),
            "ECTS_ENCRYPTION_KEY_FILE": str(secrets / "encryption_key"),
            "ECTS_ADMIN_PASSWORD_FILE": str(secrets / "admin_password"),
            "TMPDIR": str(scratch),
        }
        return subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, timeout=240, **options)

    restore = DOCKER / "ects-restore"
    assert run([*OURS["setup"]["command"][:3]], "old").returncode == 0
    saved = run(OURS["backup"]["command"], "old")
    assert saved.returncode == 0, saved.stderr
    assert run([restore], "new", input=saved.stdout[:-20_000]).returncode != 0
    done = run([restore], "new", input=saved.stdout)
    assert done.returncode == 0, done.stderr
    with closing(sqlite3.connect(tmp_path / "new.sqlite3")) as database:
        assert database.execute("SELECT username FROM auth_user").fetchall() == [("admin",)]
    assert run([restore], "new", input=saved.stdout).returncode != 0
    assert run([restore, "--force"], "new", input=saved.stdout).returncode == 0
    assert not list(scratch.iterdir())


def test_no_secret_is_in_it() -> None:
    text = (DOCKER / "compose.yaml").read_text() + (DOCKER / "Dockerfile").read_text()
    assert "PASSWORD:" not in text.replace("PASSWORD_FILE:", "").replace("RANDOM_ROOT_PASSWORD:", "")


def test_no_secret_is_built_into_an_image() -> None:
    assert {"docker/secrets", "var"} <= set((ROOT / ".dockerignore").read_text().split())


def test_what_is_prepared_is_for_nobody_else_and_stays(prepared: Path) -> None:
    secrets = prepared / "secrets"
    assert stat.S_IMODE(secrets.stat().st_mode) == 0o700
    assert stat.S_IMODE((secrets / "etcd_ca.key").stat().st_mode) == 0o600
    assert (secrets / "mariadb_password").read_text().strip() in (secrets / "database_url").read_text()
    before = {path.name: path.read_bytes() for path in secrets.iterdir()}
    subprocess.run([prepared / "prepare"], check=True, capture_output=True, timeout=240)
    assert {path.name: path.read_bytes() for path in secrets.iterdir()} == before


@pytest.mark.parametrize("name", OURS)
def test_its_command_is_one_of_ours(name: str, tmp_path: Path) -> None:
    command = OURS[name]["command"]
    environment = os.environ | {"ECTS_DATA_DIR": str(tmp_path)}
    if command[0] == "gunicorn":
        checked = [sys.executable, "-m", "gunicorn", "--check-config", *command[1:]]
    else:
        checked = [sys.executable, *command[1:], "--help"]
    done = subprocess.run(checked, cwd=ROOT, env=environment, capture_output=True, text=True, timeout=240)
    assert done.returncode == 0, done.stderr


@pytest.fixture
def etcd(prepared: Path, tmp_path: Path) -> Iterator[EtcdSettings]:
    """etcd as the compose file has it, on the loopback; how its root reaches it."""
    client, peer, metrics = free_ports(3)
    environment = {name: value for name, value in os.environ.items() if name == "ETCD_UNSUPPORTED_ARCH"}
    for name, value in SERVICES["etcd"]["environment"].items():
        for old, new in (
            *(("0.0.0.0:2379", f"127.0.0.1:{client}"), ("0.0.0.0:2380", f"127.0.0.1:{peer}"), ("2381", str(metrics))),
            *(("etcd:2379", f"localhost:{client}"), ("etcd:2380", f"localhost:{peer}"), ("/var/lib", str(tmp_path))),
            *((f"/run/secrets/{name}", str(prepared / it["file"])) for name, it in COMPOSE["secrets"].items()),
        ):
            value = value.replace(old, new)
        environment[name] = value
    password = (prepared / "secrets" / "etcd_password").read_text().strip()
    ca = str(prepared / "secrets" / "etcd_ca.pem")
    settings = EtcdSettings((f"localhost:{client}",), user="root", password=password, ca=ca)
    with (tmp_path / "etcd.log").open("wb") as log:
        process = subprocess.Popen([binary()], env=environment, stdout=log, stderr=log)
    try:
        with closing(EtcdAccounts(settings)) as accounts:
            wait_until(lambda: _is_open(accounts), f"etcd answers, see {tmp_path}/etcd.log")
        yield settings
    finally:
        process.kill()
        process.wait()


def _is_open(accounts: EtcdAccounts) -> bool:
    with suppress(Unavailable):
        return not accounts.is_required()
    return False


def test_setup_runs_twice_and_leaves_one_token(prepared: Path, etcd: EtcdSettings, tmp_path: Path) -> None:
    token = tmp_path / "token"
    command = [sys.executable, *OURS["setup"]["command"][1:]]
    command[command.index("--token-file=/enrolment/token")] = f"--token-file={token}"
    secrets = prepared / "secrets"
    environment = os.environ | {
        "ECTS_DATA_DIR": str(tmp_path / "var"),
        "ECTS_DATABASE_URL": f"sqlite:///{tmp_path / 'db.sqlite3'}",
        "ECTS_ADMIN_PASSWORD_FILE": str(secrets / "admin_password"),
        "ECTS_ETCD_ENDPOINTS": ",".join(etcd.endpoints),
        "ECTS_ETCD_USER": SERVICES["setup"]["environment"]["ECTS_ETCD_USER"],
        "ECTS_ETCD_PASSWORD_FILE": str(secrets / "etcd_password"),
        "ECTS_ETCD_CA": etcd.ca,
    }
    texts = set()
    for _ in range(2):
        done = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, timeout=240)
        assert done.returncode == 0, done.stderr
        assert (secrets / "admin_password").read_text().strip() not in done.stdout
        texts.add(token.read_text())
        assert token.read_text().startswith("ects1.")
        assert token.stat().st_mode & 0o777 == 0o600
    assert len(texts) == 2
    with closing(sqlite3.connect(tmp_path / "db.sqlite3")) as database:
        workers = [name for name in OURS if name.startswith("worker-")]
        assert database.execute("SELECT uses FROM workers_enrolmenttoken").fetchall() == [(len(workers),)]
    with closing(EtcdAccounts(replace(etcd, user="", password=""))) as stranger, pytest.raises(AuthenticationFailed):
        stranger.users()
