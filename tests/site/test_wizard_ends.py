"""The end of ``init --mode web``: a running console on the same port, on one host and on the next."""

import signal
from pathlib import Path
from typing import Any

import httpx
import MySQLdb
import pytest

from ects_site.configuration_file import Etcd
from tests.etcd_server import wait_until
from tests.site.processes import mentioning, wait_for_line
from tests.site.wizard import ADMINISTRATOR, GIVEN, OWN, PASSWORD, Wizard, wizard


@pytest.fixture(scope="module")
def database(mariadb_socket: str) -> dict[str, Any]:
    """What a user with a password is told of it."""
    with MySQLdb.connect(unix_socket=mariadb_socket, user="root") as connection:
        cursor = connection.cursor()
        cursor.execute("CREATE USER web@localhost IDENTIFIED BY 'w:e/b@%'")
        cursor.execute("GRANT ALL PRIVILEGES ON `web`.* TO web@localhost")
    return {"host": mariadb_socket, "port": 3306, "name": "web", "user": "web", "password": "w:e/b@%"}


@pytest.fixture
def cluster(guarded_etcd: Etcd) -> dict[str, str]:
    """What is typed of etcd."""
    names = ("ca", "certificate", "key", "user", "password")
    typed = {name: getattr(guarded_etcd, name) for name in names}
    return {"endpoints": "\n".join(guarded_etcd.endpoints), "key_prefix": "/ects", **typed}


def _handed_over(it: Wizard) -> None:
    """Nobody who asks in between is turned away."""
    wait_until(lambda: it.get("/setup/progress/").path == "/admin/login/", "the sign-in page", 90)


def _sign_in(it: Wizard) -> httpx.Response:
    return it.browser.post("/api/v1/auth/token/", json={"username": "boss", "password": PASSWORD})


def test_two_hosts_of_one_cluster(tmp_path: Path, database: dict[str, Any], cluster: dict[str, str]) -> None:
    first_place, second_place = tmp_path / "first", tmp_path / "second"
    first_place.mkdir()
    second_place.mkdir()
    with wizard(first_place) as first:
        first.open()
        assert first.step("etcd", **GIVEN, **cluster).path == "/setup/database/", first.errors
        assert first.step("database", **GIVEN, **database).path == "/setup/keys/", first.errors
        first.step("keys", **OWN)
        first.step("administrator", **ADMINISTRATOR)
        first.step("mail", **GIVEN, host="smtp.example", port=587, encryption="starttls", name="ects@example.org")
        assert first.step("address", url="", bind="0.0.0.0").path == "/setup/review/"
        first.set_up()
        _handed_over(first)
        reply = _sign_in(first)
        assert reply.status_code == 200, reply.text
        wait_for_line(first.log, "ECTS is ready", 60)
        assert "worker |" not in first.log.read_text()
        assert "etcd |" not in first.log.read_text()
        assert PASSWORD not in first.log.read_text()
        # ECTS_BIND was chosen in the wizard, which kept to the loopback.
        assert _is_reached_beyond_loopback(first.port)

        with wizard(second_place) as second:
            _join(second.open(), cluster, database, first_place / "var" / "secrets")
            second.set_up()
            _handed_over(second)
            assert _sign_in(second).status_code == 200, "by the same account"
            assert _sign_in(first).status_code == 200
        assert "nothing is changed" not in second.log.read_text()
        first.process.send_signal(signal.SIGTERM)
        assert first.process.wait(120) == 0
        assert mentioning(str(first_place / "var")) == []
    _change(first_place)


def _join(second: Wizard, cluster: dict[str, str], database: dict[str, Any], secrets: Path) -> None:
    """A second console host: it has to agree with what is there, and needs the first one's keys."""
    asked = second.step("etcd", **GIVEN, **cluster)
    assert asked.path == "/setup/etcd/"
    assert "Below /ects there is an installation already" in asked.words
    assert second.step("etcd", **GIVEN, **cluster, agree="yes").path == "/setup/database/"
    asked = second.step("database", **GIVEN, **database)
    assert "web holds an installation of ECTS: 0 pipelines, 0 tasks, 1 node, 1 user" in asked.words
    assert "auth_user" not in second.errors
    assert second.step("database", **GIVEN, **database, agree="yes").path == "/setup/keys/"
    assert "encrypted under another key" in second.step("keys", **OWN).errors["choice"]
    assert second.step("keys", **GIVEN, directory=str(secrets)).path == "/setup/administrator/", second.errors
    taken = second.step("administrator", **GIVEN, **ADMINISTRATOR)
    assert "There is a user of this name already" in taken.errors["name"]
    second.step("administrator", **OWN)
    second.step("mail", **OWN)
    second.step("address", url="", bind="127.0.0.1")


def _change(place: Path) -> None:
    """The first host again: everything is there, and one thing is changed."""
    kept = (place / "var" / "settings.env").read_text()
    with wizard(place, "--force") as again:
        assert "This installation is set up already" in again.open().words
        assert again.value("user") == "console"
        assert "secret of console" not in again.page
        names = ("endpoints", "key_prefix", "ca", "certificate", "key", "user")
        typed = {name: again.value(name) for name in names if name != "endpoints"}
        endpoints = again.page.partition('name="endpoints"')[2].partition(">")[2].partition("<")[0].strip()
        # The password is not typed again; and of one's own installation nothing is asked.
        assert again.step("etcd", **GIVEN, **typed, endpoints=endpoints).path == "/setup/database/", again.errors
        held = {name: again.value(name) for name in ("host", "port", "name", "user")}
        assert again.step("database", **GIVEN, **held).path == "/setup/keys/", again.errors
        again.step("keys", **OWN)
        again.step("administrator", **OWN)
        server = {name: again.get("/setup/mail/").value(name) for name in ("host", "port")}
        again.step("mail", **GIVEN, **server, encryption="starttls", name="other@example.org")
        again.step("address", url="", bind="0.0.0.0")
        again.set_up()
        _handed_over(again)
        assert _sign_in(again).status_code == 200, "the account is as it was"
    now = (place / "var" / "settings.env").read_text()
    assert sorted(set(now.splitlines()) - set(kept.splitlines())) == [
        'ECTS_EMAIL_FROM="other@example.org"',
        f'ECTS_PORT="{again.port}"',
    ]


def _is_reached_beyond_loopback(port: int) -> bool:
    """By an address of this machine other than 127.0.0.1."""
    return httpx.get(f"http://127.0.0.2:{port}/healthz", timeout=10).status_code == 200


def test_a_failure_at_the_end_leads_back(tmp_path: Path, mariadb_socket: str) -> None:
    """Nothing is kept, what was typed is there, and the step to mend is named."""
    with MySQLdb.connect(unix_socket=mariadb_socket, user="root", autocommit=True) as connection:
        cursor = connection.cursor()
        cursor.execute("CREATE USER late@localhost IDENTIFIED BY 'late'")
        cursor.execute("GRANT ALL PRIVILEGES ON `late`.* TO late@localhost")
        with wizard(tmp_path) as it:
            it.open().step("etcd", **OWN)
            server = {"host": mariadb_socket, "port": 3306, "name": "late", "user": "late", "password": "late"}
            it.step("database", **GIVEN, **server)
            it.step("keys", **OWN)
            it.step("administrator", **ADMINISTRATOR)
            it.step("mail", **OWN)
            it.step("address", url="", bind="127.0.0.1")
            cursor.execute("ALTER USER late@localhost IDENTIFIED BY 'changed'")
            it.set_up()
            assert "its settings are not kept" in it.words
            assert "database.pass: the server refuses late" in it.words
            assert 'href="/setup/database/"' in it.page
            assert not (tmp_path / "var" / "settings.env").exists()
            mended = it.step("database", **GIVEN, **server | {"password": "changed"})
            assert mended.path == "/setup/review/", it.errors
    assert PASSWORD not in it.log.read_text()
