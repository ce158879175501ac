"""``manage.py init`` in processes of its own, against real servers."""

import json
import os
import signal
import stat
import sys
from contextlib import closing
from pathlib import Path
from typing import Any

import MySQLdb
import pytest
import yaml

from coordination import documents
from coordination.etcd import SyncEtcd
from coordination.gateway import EtcdSettings
from ects_site.probes.contents import UNFINISHED
from tests.etcd_server import EtcdServer, wait_until
from tests.site.processes import environment, manage, mentioning, running, wait_for_line

WHO = ("--name", "boss", "--email", "boss@example.org", "--pass", "first password")


def _file(directory: Path, content: dict, name: str = "config.json") -> str:
    path = directory / name
    path.write_text(json.dumps(content) if name.endswith("json") else yaml.safe_dump(content))
    return str(path)


def _may_sign_in(directory: Path, password: str) -> bool:
    script = "from django.contrib.auth.models import User; print('yes', User.objects.get().check_password(%r))"
    return "yes True" in manage(directory, "shell", "-c", script % password).stdout


def test_json_without_servers(tmp_path: Path) -> None:
    path = _file(tmp_path, {"auth": {"ttl": 60}, "notification": {"host": "smtp.example", "pass": '$a"\\n'}})
    made = manage(tmp_path / "var", "init", "--mode", "json", "--path", path, *WHO)
    assert made.returncode == 0, made.stderr
    assert "first password" not in made.stdout + made.stderr
    assert stat.S_IMODE((tmp_path / "var" / "settings.env").stat().st_mode) == 0o600
    assert stat.S_IMODE((tmp_path / "var").stat().st_mode) == 0o700
    assert _may_sign_in(tmp_path / "var", "first password")
    script = "from django.conf import settings; print('kept', settings.ECTS_EMAIL['password'] == %r)"
    assert "kept True" in manage(tmp_path / "var", "shell", "-c", script % '$a"\\n').stdout


def test_it_is_not_done_twice_unless_forced(tmp_path: Path) -> None:
    var = tmp_path / "var"
    first = _file(tmp_path, {"notification": {"host": "one.example", "user": "me"}})
    second = _file(tmp_path, {"notification": {"host": "two.example"}})
    assert manage(var, "init", "--mode", "json", "--path", first, *WHO).returncode == 0
    again = manage(var, "init", "--mode", "json", "--path", first, *WHO[:4], "--pass", "second password")
    assert again.returncode == 1
    assert "--force replaces" in again.stderr
    assert _may_sign_in(var, "first password")

    _file(tmp_path, {"notification": {"host": "two.example"}})
    forced = manage(
        var, "init", "--mode", "json", "--path", second, *WHO[:4], "--force", ECTS_ADMIN_PASSWORD="second password"
    )
    assert forced.returncode == 0, forced.stderr
    assert _may_sign_in(var, "second password")
    kept = (var / "settings.env").read_text()
    assert "two.example" in kept
    assert "ECTS_EMAIL_USER" not in kept


def test_yaml_with_mysql_and_etcd(tmp_path: Path, etcd: EtcdServer, mariadb_socket: str) -> None:
    database = {"host": mariadb_socket, "name": "made-by-init", "user": "root"}
    content = {
        "database": database,
        "etcd": {"endpoints": [etcd.endpoint], "config": "/by-init/config"},
        "notification": {"url": "https://ects.example"},
    }
    path = _file(tmp_path, content, "config.yaml")
    made = manage(tmp_path / "var", "init", "--mode", "yaml", "--path", path, *WHO)
    assert made.returncode == 0, made.stderr
    assert "made the database made-by-init" in made.stdout
    assert not (tmp_path / "var" / "ects.sqlite3").exists()
    assert _may_sign_in(tmp_path / "var", "first password")

    gateway = SyncEtcd(EtcdSettings(endpoints=(etcd.endpoint,)))
    item = gateway.get("/by-init/config")
    gateway.close()
    assert item is not None
    body = json.loads(item.value)["body"]
    assert documents.decode_config(body).server_url == "https://ects.example"

    # Another host of the same cluster: it needs the first one's key, and somebody who agrees.
    other = tmp_path / "other"
    refused = manage(other, "init", "--mode", "yaml", "--path", path, *WHO)
    assert refused.returncode == 1
    assert "auth.encryption: The database's keys and secrets are encrypted under another key" in refused.stderr

    content["auth"] = {"encryption": (tmp_path / "var" / "secrets" / "encryption_key").read_text()}
    path = _file(tmp_path, content, "config.yaml")
    refused = manage(other, "init", "--mode", "yaml", "--path", path, *WHO)
    assert (
        "database: made-by-init holds an installation of ECTS: 0 pipelines, 0 tasks, 0 nodes, 1 user" in refused.stderr
    )
    assert "etcd: Below /by-init there is an installation already: 1 key" in refused.stderr
    assert "--adopt uses what is there" in refused.stderr
    assert not (other / "settings.env").exists()

    adopted = manage(other, "init", "--mode", "yaml", "--path", path, "--adopt")
    assert adopted.returncode == 0, adopted.stderr
    assert "there is a user boss already" in manage(tmp_path / "third", *adopted_by(path)).stderr
    assert _may_sign_in(other, "first password")


def adopted_by(path: str) -> list[str]:
    """A host that wants its own administrator of a name that is taken."""
    return ["init", "--mode", "yaml", "--path", path, "--adopt", *WHO]


@pytest.mark.parametrize(
    ("content", "said"),
    [
        ({"database": {"name": "d", "user": "u", "port": 1}}, "database.port: 127.0.0.1:1: the connection is refused"),
        ({"etcd": {"endpoints": ["127.0.0.1:1"]}}, "etcd.endpoints: 127.0.0.1:1: "),
        ({"database": {"name": "d"}}, "database.user: it is missing"),
    ],
)
def test_nothing_is_kept_of_what_fails(tmp_path: Path, content: dict, said: str) -> None:
    made = manage(tmp_path / "var", "init", "--mode", "json", "--path", _file(tmp_path, content), *WHO)
    assert made.returncode == 1
    assert said in made.stderr
    assert "Traceback" not in made.stderr
    assert not (tmp_path / "var" / "settings.env").exists()


def test_what_was_killed_amid_the_tables_is_begun_again(tmp_path: Path, mariadb_socket: str) -> None:
    """MySQL cannot undo half a migration, so the tables of a database that was empty are made anew."""
    path = _file(tmp_path, {"database": {"host": mariadb_socket, "name": "killed", "user": "root"}})
    command = [sys.executable, "manage.py", "init", "--mode", "json", "--path", path, *WHO]
    with (
        running(tmp_path / "log", command, environment(tmp_path / "var")) as process,
        closing(MySQLdb.connect(unix_socket=mariadb_socket, user="root", autocommit=True)) as connection,
    ):
        cursor = connection.cursor()
        wait_until(lambda: _count(cursor, "killed") > 12, "some tables are made", 60)
        os.killpg(process.pid, signal.SIGKILL)
        wait_until(lambda: not mentioning(str(tmp_path / "var")), "all of it is dead")
        assert UNFINISHED in _tables(cursor, "killed")
        # As a migration leaves it that was cut between two statements.
        cursor.execute("DROP TABLE killed.django_migrations")
    assert not (tmp_path / "var" / "settings.env").exists()
    again = manage(tmp_path / "var", "init", "--mode", "json", "--path", path, *WHO)
    assert again.returncode == 0, again.stderr
    assert _may_sign_in(tmp_path / "var", "first password")


def _tables(cursor: Any, database: str) -> list[str]:
    cursor.execute("SELECT table_name FROM information_schema.tables WHERE table_schema = %s", [database])
    return [name for (name,) in cursor.fetchall()]


def _count(cursor: Any, database: str) -> int:
    return len(_tables(cursor, database))


def test_ctrl_c_leaves_nothing_behind(tmp_path: Path) -> None:
    path = _file(tmp_path, {})
    command = [sys.executable, "manage.py", "init", "--mode", "json", "--path", path, *WHO]
    with running(tmp_path / "log", command, environment(tmp_path / "var")) as process:
        wait_for_line(tmp_path / "log", "Tables", 60)
        os.killpg(process.pid, signal.SIGINT)
        assert process.wait(120) == 1
    said = (tmp_path / "log").read_text()
    assert "Ended; its settings are not kept." in said
    assert "Traceback" not in said
    assert not (tmp_path / "var" / "settings.env").exists()
    wait_until(lambda: not mentioning(str(tmp_path / "var")), "all of it is dead")


def test_settings_of_other_origin_are_kept(tmp_path: Path) -> None:
    var = tmp_path / "var"
    path = _file(tmp_path, {"notification": {"host": "one.example"}})
    assert manage(var, "init", "--mode", "json", "--path", path, *WHO).returncode == 0
    with (var / "settings.env").open("a") as file:
        file.write('ECTS_KEEP_DAYS="7"\n')
    path = _file(tmp_path, {})
    assert manage(var, "init", "--mode", "json", "--path", path, *WHO, "--force").returncode == 0
    kept = (var / "settings.env").read_text()
    assert 'ECTS_KEEP_DAYS="7"' in kept
    assert "one.example" not in kept


@pytest.mark.parametrize("variable", ["ECTS_EMAIL_PASSWORD", "ECTS_EMAIL_PASSWORD_FILE"])
def test_a_variable_that_would_win_is_named(tmp_path: Path, variable: str) -> None:
    path = _file(tmp_path, {"notification": {"host": "smtp.example", "pass": "one"}})
    (tmp_path / "other").write_text("another")
    more = {variable: str(tmp_path / "other")}
    made = manage(tmp_path / "var", "init", "--mode", "json", "--path", path, *WHO, **more)
    assert made.returncode == 1
    assert f"{variable} is set in this environment" in made.stderr


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("--name", "boss"), "--pass: a password"),
        (("--pass", "x", "--email", "nobody"), "--email: Enter a valid email"),
        (("--pass", "x", "--name", ""), "--name: "),
        (("--pass", "password"), "--pass: This password is too common"),
    ],
)
def test_the_administrator_is_named(tmp_path: Path, arguments: tuple[str, ...], said: str) -> None:
    made = manage(tmp_path / "var", "init", "--mode", "json", "--path", _file(tmp_path, {}), *arguments)
    assert made.returncode == 1
    assert said in made.stderr
