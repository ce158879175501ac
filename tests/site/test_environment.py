"""Secrets and settings files: who wins, what they may hold, and who may read them."""

import json
import socket
import stat
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from django.core.exceptions import ImproperlyConfigured

from ects_site import environment
from tests.site.processes import ROOT, manage
from tests.site.processes import environment as clean


@pytest.fixture(autouse=True)
def data_dir(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("ECTS_DATA_DIR", str(tmp_path / "var"))
    return tmp_path / "var"


def test_a_secret_is_made_once_for_this_user_only(data_dir: Path) -> None:
    first = environment.secret("SECRET_KEY")
    assert len(bytes.fromhex(first)) == 32
    assert environment.secret("SECRET_KEY") == first
    assert environment.secret("ENCRYPTION_KEY") != first
    assert stat.S_IMODE((data_dir / "secrets" / "secret_key").stat().st_mode) == 0o600
    assert stat.S_IMODE(data_dir.stat().st_mode) == 0o700


def test_processes_that_start_at_once_have_one_secret(tmp_path: Path) -> None:
    script = "from ects_site import environment as e; print(e.secret('SECRET_KEY'))"

    def start(_: int) -> str:
        command = [sys.executable, "-c", script]
        return subprocess.run(
            command, cwd=ROOT, env=clean(tmp_path / "new"), capture_output=True, text=True, check=True
        ).stdout

    with ThreadPoolExecutor(4) as pool:
        assert len(set(pool.map(start, range(4)))) == 1


def test_where_a_secret_comes_from(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert environment.secret_from("ECTS_X_PASSWORD") == ""
    monkeypatch.setenv("ECTS_X_PASSWORD", "$HOME of mine")
    assert environment.secret_from("ECTS_X_PASSWORD") == "$HOME of mine"
    (tmp_path / "mounted").write_text("from the file\n")
    monkeypatch.setenv("ECTS_X_PASSWORD_FILE", str(tmp_path / "mounted"))
    assert environment.secret_from("ECTS_X_PASSWORD") == "from the file"


def test_how_mysql_is_asked_for_tls() -> None:
    assert environment.mysql_options({"ssl_mode": "verify_identity"}) == {"ssl_mode": "VERIFY_IDENTITY"}
    asked = environment.mysql_options({"ssl_ca": "/ca.pem", "charset": "utf8mb4"})
    assert asked == {"ssl_mode": "VERIFY_IDENTITY", "ssl": {"ca": "/ca.pem"}, "charset": "utf8mb4"}
    shown = environment.mysql_options({"ssl_cert": "/c.pem", "ssl_key": "/k.pem"})
    assert shown == {"ssl_mode": "REQUIRED", "ssl": {"cert": "/c.pem", "key": "/k.pem"}}
    with pytest.raises(ImproperlyConfigured, match=r"DISABLED, .*, not 'yes'"):
        environment.mysql_options({"ssl_mode": "yes"})
    with pytest.raises(ImproperlyConfigured, match="ssl_ca of the database is empty"):
        environment.mysql_options({"ssl_ca": ""})
    with pytest.raises(ImproperlyConfigured, match="DISABLED, and yet"):
        environment.mysql_options({"ssl_mode": "disabled", "ssl_ca": "/ca.pem"})


@pytest.mark.parametrize("given", ["0", "65536", "-1", "x", "٣", ""])
def test_a_port_is_a_number_that_ports_have(given: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ECTS_EMAIL_PORT", given)
    with pytest.raises(ImproperlyConfigured, match="ECTS_EMAIL_PORT must be a number from 1 to 65535"):
        environment.port("ECTS_EMAIL_PORT", 25)


@pytest.mark.parametrize("url", ["nonsense:secret", "postgres://u:secret@h/d", "mysq://u:secret@h/d"])
def test_a_database_that_is_none_of_ours(url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ECTS_DATABASE_URL", url)
    with pytest.raises(ImproperlyConfigured, match=r"must be such as mysql://") as refused:
        environment.database()
    assert "secret" not in str(refused.value)


def test_a_setting_that_is_wrong_is_told_in_a_sentence(tmp_path: Path) -> None:
    ended = manage(tmp_path, "fires", "@daily", ECTS_PORT="x")
    assert ended.returncode == 1
    assert ended.stderr == "A setting is wrong: ECTS_PORT must be a number from 1 to 65535, not 'x'\n"


@pytest.mark.parametrize("given", ["-1", "inf", "nan", "ten"])
def test_a_limit_is_a_number_of_some_size(given: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ECTS_KEEP_DAYS", given)
    with pytest.raises(ImproperlyConfigured, match="ECTS_KEEP_DAYS must be"):
        environment.limit("ECTS_KEEP_DAYS", 90)


def test_a_secret_file_that_is_no_good_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ECTS_SECRET_KEY_FILE", str(tmp_path / "none"))
    with pytest.raises(ImproperlyConfigured, match=r"ECTS_SECRET_KEY_FILE: .*none cannot be read: No such file"):
        environment.secret("SECRET_KEY")
    (tmp_path / "none").write_text("\n")
    with pytest.raises(ImproperlyConfigured, match="is empty"):
        environment.secret("SECRET_KEY")


@pytest.mark.parametrize("value", ["abc", "zz" * 32, "00" * 31])
def test_an_encryption_key_of_another_size_is_refused(value: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ECTS_ENCRYPTION_KEY", value)
    with pytest.raises(ImproperlyConfigured, match="32 bytes in hexadecimal"):
        environment.encryption_keys()


@pytest.mark.parametrize(
    "value", ["plain", "$HOME", "a b", "'single'", '"double"', "back\\slash\\n", "hash # tag", "ü界", '\\"', "="]
)
def test_the_settings_file_gives_back_what_was_written(value: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("ECTS_T", raising=False)
    environment.write_settings_file({"ECTS_T": value})
    assert stat.S_IMODE(environment.settings_file().stat().st_mode) == 0o600
    assert environment.load_settings_file() == {"ECTS_T"}
    assert environment.secret_from("ECTS_T") == value
    monkeypatch.setenv("ECTS_T", "")


def test_the_environment_wins_over_the_settings_file(monkeypatch: pytest.MonkeyPatch) -> None:
    environment.write_settings_file({"ECTS_T": "file"})
    monkeypatch.setenv("ECTS_T", "environment")
    assert environment.load_settings_file() == frozenset()
    assert environment.secret_from("ECTS_T") == "environment"


def test_etcd_is_the_one_named_else_the_private_one(data_dir: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("ECTS_ETCD_ENDPOINTS", raising=False)
    assert environment.etcd_endpoints() == ["127.0.0.1:2379"]
    (data_dir / "etcd").mkdir(parents=True)
    (data_dir / "etcd" / "endpoint").write_text("127.0.0.1:21000")
    assert environment.etcd_endpoints() == ["127.0.0.1:21000"]
    monkeypatch.setenv("ECTS_ETCD_ENDPOINTS", "a:1, b:2")
    assert environment.etcd_endpoints() == ["a:1", "b:2"]


def test_a_deployment_passes_djangos_checks(tmp_path: Path) -> None:
    checked = manage(
        tmp_path,
        *("check", "--deploy", "--fail-level", "WARNING"),
        ECTS_SERVER_URL="https://ects.example",
        ECTS_ALLOWED_HOSTS="ects.example",
    )
    assert checked.returncode == 0, checked.stderr


def test_a_log_format_that_there_is_not(tmp_path: Path) -> None:
    checked = manage(tmp_path, "check", ECTS_LOG_FORMAT="xml")
    assert checked.returncode != 0
    assert "ECTS_LOG_FORMAT: found 'xml', allowed is line or json." in checked.stderr


def test_a_log_level_that_there_is_not(tmp_path: Path) -> None:
    assert manage(tmp_path, "check", ECTS_LOG_LEVEL="warning").returncode == 0
    for command in ("check", "runworker"):
        checked = manage(tmp_path, command, ECTS_LOG_LEVEL="LOUD")
        assert checked.returncode != 0
        assert "ECTS_LOG_LEVEL: found 'LOUD', allowed is DEBUG, INFO, WARNING, ERROR." in checked.stderr


def test_gunicorn_logs_as_json_too(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        command = [sys.executable, "-m", "gunicorn", "ects_site.wsgi", "--logger-class", "ects_site.web_log.Logger"]
        command += ["--bind", f"127.0.0.1:{taken.getsockname()[1]}", "--no-control-socket", "--log-level", "warning"]
        env = clean(tmp_path, ECTS_LOG_FORMAT="json")
        said = subprocess.run(command, cwd=ROOT, env=env, capture_output=True, text=True, timeout=240, check=False)
    lines = [json.loads(line) for line in said.stderr.splitlines()]
    assert any("in use" in line["message"] and line["level"] == "ERROR" for line in lines), lines


def test_a_language_that_there_is_not(tmp_path: Path) -> None:
    assert manage(tmp_path, "check", ECTS_LANGUAGE="zh-Hans").returncode == 0
    checked = manage(tmp_path, "check", ECTS_LANGUAGE="xx")
    assert checked.stderr.strip() == "A setting is wrong: ECTS_LANGUAGE must be one of en, zh-hans, not 'xx'"


def test_a_data_directory_that_cannot_be(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    checked = manage(tmp_path, "init", ECTS_DATA_DIR=str(tmp_path / "file" / "data"))
    assert checked.returncode != 0
    assert "A setting is wrong" in checked.stderr
    assert "ECTS_DATA_DIR" in checked.stderr
    assert "Traceback" not in checked.stderr
