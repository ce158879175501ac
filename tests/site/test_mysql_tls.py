"""TLS to the database: a real MariaDB that lets one user in over TLS only, and what set-up, console and backup do."""

import subprocess
from collections.abc import Iterator
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path

import msgspec
import MySQLdb
import pytest
from msgspec import structs

from ects_site import mysql
from ects_site.backup.mysql import Mysql, tls_options
from ects_site.configuration_file import Database
from ects_site.probes import database as probes
from tests.certificates import Authority
from tests.etcd_server import free_ports, wait_until
from tests.site.processes import manage

CIPHER = """
from django.db import connection
with connection.cursor() as cursor:
    cursor.execute("SHOW STATUS LIKE 'Ssl_cipher'")
    print(cursor.fetchone())
"""


VOUCHED = tuple(int(part) for part in MySQLdb.get_client_info().split(".")[:2]) >= (3, 4)
"""Whether MariaDB's client library takes a certificate for good that the password of the account vouches for
(docs/how-to/mysql.md)."""

PRESENT = """
import json
from ects_site.wizard import present
print(json.dumps(present.content()["database"]))
"""


@dataclass(frozen=True)
class Guarded:
    """Of the server: how its user gets in, what another shows, and an authority that has nothing to do with it."""

    database: Database
    client: Authority
    stranger: Authority


@pytest.fixture(scope="module")
def guarded(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Guarded]:
    directory = tmp_path_factory.mktemp("guarded")
    authority, stranger = Authority(directory, "ca").create(), Authority(directory, "other").create()
    server = authority.issue("server", "serverAuth")
    # A short path: sockets have room for 107 bytes.
    socket, [port] = Path("/tmp") / f"ects-tls-{directory.parent.name}-{directory.name}.sock", free_ports(1)
    user = subprocess.run(["id", "-un"], capture_output=True, text=True, check=True).stdout.strip()
    if user == "root":
        user = "mysql"
        for place in (directory, *directory.parents):
            if place.stat().st_uid == 0 and place.name.startswith(("pytest", "popen", "guarded")):
                place.chmod(0o755)
        subprocess.run(["chown", "-R", user, str(directory)], check=True)
    install = ["mariadb-install-db", "--no-defaults", f"--user={user}", f"--datadir={directory}/data"]
    install += ["--auth-root-authentication-method=normal", "--skip-test-db"]
    subprocess.run(install, check=True, capture_output=True)
    run = ["mariadbd", "--no-defaults", f"--user={user}", f"--datadir={directory}/data", f"--socket={socket}"]
    run += [f"--port={port}", "--bind-address=127.0.0.1", f"--pid-file={directory}/pid"]
    run += [f"--ssl-ca={authority.certificate}", f"--ssl-cert={server.certificate}", f"--ssl-key={server.key}"]
    with (directory / "log").open("wb") as log:
        process = subprocess.Popen(run, stderr=log)
    try:
        wait_until(lambda: _is_ready(socket), f"MariaDB is ready, see {directory / 'log'}", 60)
        database = Database("ects", "ects", host="127.0.0.1", port=port, password="p", ca=str(authority.certificate))
        yield Guarded(database, authority.issue("client", "clientAuth"), stranger)
    finally:
        process.terminate()
        process.wait(120)


def _is_ready(socket: Path) -> bool:
    try:
        connection = MySQLdb.connect(unix_socket=str(socket), user="root")
    except MySQLdb.OperationalError:
        return False
    with closing(connection), connection.cursor() as cursor:
        cursor.execute("CREATE USER ects@'%' IDENTIFIED BY 'p' REQUIRE SSL")
        cursor.execute("GRANT ALL ON ects.* TO ects@'%'")
        cursor.execute("CREATE USER shown@'%' IDENTIFIED BY 'p' REQUIRE X509")
        cursor.execute("GRANT ALL ON ects.* TO shown@'%'")
    return True


@pytest.mark.parametrize("changes", [{}, {"tls": "verify"}, {"tls": "required", "ca": ""}])
def test_it_lets_in_who_comes_over_tls(guarded: Guarded, changes: dict[str, str], tmp_path: Path) -> None:
    report = probes.probe(structs.replace(guarded.database, **changes), tmp_path / "unused")
    assert report.wrong == []


def test_each_mistake_is_told_beside_its_field(guarded: Guarded, tmp_path: Path) -> None:
    def wrong(**changes: object) -> dict[str, str]:
        return dict(probes.probe(structs.replace(guarded.database, **changes), tmp_path / "unused").wrong)

    assert "over TLS only" in wrong(ca="")["tls"]
    assert "refuses ects" in wrong(ca="", password="another")["password"]
    assert "no TLS to this server" in wrong(ca=str(guarded.stranger.certificate))["ca"]
    if VOUCHED:
        assert wrong(ca="", tls="verify") == {}
    else:
        assert "no TLS to this server" in wrong(ca="", tls="verify")["tls"]
    assert "none.pem cannot be read" in wrong(ca=str(tmp_path / "none.pem"))["ca"]
    assert "choose TLS" in wrong(tls="none")["tls"]


@pytest.mark.parametrize("changes", [{}, {"tls": "required", "ca": ""}])
def test_a_user_who_has_to_show_a_certificate(guarded: Guarded, changes: dict[str, str], tmp_path: Path) -> None:
    def wrong(**papers: str) -> dict[str, str]:
        database = structs.replace(guarded.database, user="shown", **changes, **papers)
        return dict(probes.probe(database, tmp_path / "unused").wrong)

    certificate, key = str(guarded.client.certificate), str(guarded.client.key)
    assert wrong(certificate=certificate, key=key) == {}
    assert "whether it has to show one" in wrong()["password"]
    assert "is missing" in wrong(certificate=certificate)["key"]
    assert "is missing" in wrong(key=key)["certificate"]
    assert "is not the key of this" in wrong(certificate=certificate, key=str(guarded.stranger.key))["key"]


def test_the_wizard_begins_with_the_certificate_that_the_console_shows(guarded: Guarded, tmp_path: Path) -> None:
    shown = structs.replace(
        guarded.database, certificate=str(guarded.client.certificate), key=str(guarded.client.key), tls="verify"
    )
    asked = manage(tmp_path, "shell", "-v", "0", "-c", PRESENT, ECTS_DATABASE_URL=shown.url())
    assert msgspec.json.decode(asked.stdout, type=Database) == shown


def test_a_console_and_its_backup(guarded: Guarded, tmp_path: Path) -> None:
    mysql.create_database(guarded.database)
    environment = {"ECTS_DATABASE_URL": guarded.database.url()}
    asked = manage(tmp_path, "shell", "-v", "0", "-c", CIPHER, **environment)
    assert "TLS" in asked.stdout, asked.stderr
    options = {"ssl_mode": "VERIFY_IDENTITY", "ssl": {"ca": guarded.database.ca}}
    settings = {"NAME": "ects", "USER": "ects", "PASSWORD": "p", "HOST": "127.0.0.1", "PORT": guarded.database.port}
    Mysql({**settings, "OPTIONS": options}).dump(tmp_path / "dump.gz")
    assert (tmp_path / "dump.gz").stat().st_size > 0


def test_a_file_that_is_not_there_is_named(guarded: Guarded, tmp_path: Path) -> None:
    url = structs.replace(guarded.database, ca=str(tmp_path / "gone.pem")).url()
    refused = manage(tmp_path, "migrate", ECTS_DATABASE_URL=url)
    assert refused.returncode == 1
    [said] = refused.stderr.splitlines()
    assert f"{tmp_path}/gone.pem cannot be read" in said


def test_nothing_is_dropped_before_it_is_known_that_the_backup_can_be_loaded(guarded: Guarded, tmp_path: Path) -> None:
    mysql.create_database(guarded.database)
    environment = {"ECTS_DATABASE_URL": guarded.database.url(), "ECTS_ETCD_ENDPOINTS": "127.0.0.1:1"}
    for words in (("migrate", "-v", "0"), ("backup", str(tmp_path / "backup.tar"))):
        done = manage(tmp_path / "var", *words, **environment)
        assert done.returncode == 0, done.stderr
    restore = ("restore", str(tmp_path / "backup.tar"), "--force")
    refused = manage(tmp_path / "var", *restore, **environment, PATH=str(tmp_path))
    assert refused.returncode == 1
    assert "mariadb is missing" in refused.stderr
    kept = manage(tmp_path / "var", "migrate", "--check", **environment)
    assert kept.returncode == 0, kept.stderr
    done = manage(tmp_path / "var", *restore, **environment)
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize(
    ("program", "mode", "options"),
    [
        ("mariadb-dump", "", {"ssl-verify-server-cert": "0"}),
        ("mariadb-dump", "DISABLED", {"ssl": "0", "ssl-verify-server-cert": "0"}),
        ("mariadb", "REQUIRED", {"ssl": "1", "ssl-verify-server-cert": "0"}),
        ("mariadb", "VERIFY_CA", {"ssl": "1", "ssl-verify-server-cert": "1"}),
        ("mysqldump", "VERIFY_IDENTITY", {"loose-ssl-mode": "VERIFY_IDENTITY"}),
        ("mysqldump", "", {}),
    ],
)
def test_programs_check_what_the_driver_checks(program: str, mode: str, options: dict[str, str]) -> None:
    assert tls_options(program, mode) == options
