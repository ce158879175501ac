"""The original's configuration file: what it means here, and what is said of one that is wrong."""

import json
from pathlib import Path

import environ
import pytest

from ects_site.configuration_file import Database, Invalid, environment, keys, read

ORIGINAL = {
    "database": {"host": "localhost", "port": 3306, "name": "ects", "user": "root", "pass": "p/@$ä", "char": "utf8mb4"},
    "auth": {"secret": "s" * 40, "ttl": 86400},
    "etcd": {
        "killer": "/ects/killer",
        "locker": "/ects/locker",
        "service": "/ects/nodes",
        "pipeline": "/ects/pipelines",
        "config": "/ects/config",
        "endpoints": ["10.0.0.1:2379", "etcd.example:2379"],
        "timeout": 5,
    },
    "notification": {
        "url": "https://ects.example:9701/",
        "host": "smtp.example",
        "port": 465,
        "user": "ects@example.org",
        "pass": "secret",
        "name": "Cron",
        "protocol": "smtp",
        "encryption": "ssl",
    },
}


def _read(tmp_path: Path, content: object):
    path = tmp_path / "config"
    path.write_text(json.dumps(content))
    # JSON is YAML, too.
    assert environment(read(path, "json")) == environment(read(path, "yaml"))
    return read(path, "json")


def test_the_originals_file(tmp_path: Path) -> None:
    assert environment(_read(tmp_path, ORIGINAL)) == {
        "ECTS_DATABASE_URL": "mysql://root:p%2F%40%24%C3%A4@127.0.0.1:3306/ects",
        "ECTS_TOKEN_SECONDS": "86400",
        "ECTS_ETCD_ENDPOINTS": "10.0.0.1:2379,etcd.example:2379",
        "ECTS_ETCD_PREFIX": "/ects",
        "ECTS_SERVER_URL": "https://ects.example:9701",
        "ECTS_EMAIL_HOST": "smtp.example",
        "ECTS_EMAIL_PORT": "465",
        "ECTS_EMAIL_USER": "ects@example.org",
        "ECTS_EMAIL_PASSWORD": "secret",
        "ECTS_EMAIL_TLS": "tls",
        "ECTS_EMAIL_FROM": "Cron <ects@example.org>",
    }
    assert keys(_read(tmp_path, ORIGINAL)) == {"SECRET_KEY": "s" * 40}


def test_an_empty_file_leaves_everything_as_it_is(tmp_path: Path) -> None:
    path = tmp_path / "config.yaml"
    path.write_text("# nothing\n")
    assert environment(read(path, "yaml")) == {}


@pytest.mark.parametrize(
    ("database", "expected"),
    [
        (Database("d", "u"), {"HOST": "127.0.0.1", "PORT": 3306, "NAME": "d", "USER": "u", "PASSWORD": ""}),
        (Database("d", "u:@/%", password="$p@:/?#%"), {"USER": "u:@/%", "PASSWORD": "$p@:/?#%"}),
        (Database("d", "u", host="::1", port=3307), {"HOST": "::1", "PORT": 3307}),
        (Database("d", "u", host="/run/my sql/s"), {"HOST": "", "OPTIONS": {"unix_socket": "/run/my sql/s"}}),
        (Database("d", "u", tls="none"), {"HOST": "127.0.0.1"}),
        (Database("d", "u", tls="required"), {"OPTIONS": {"ssl_mode": "REQUIRED"}}),
        (Database("d", "u", tls="verify"), {"OPTIONS": {"ssl_mode": "VERIFY_IDENTITY"}}),
        (
            Database("d", "u", host="/run/s", ca="/etc/a b.pem"),
            {"OPTIONS": {"unix_socket": "/run/s", "ssl_mode": "VERIFY_IDENTITY", "ssl_ca": "/etc/a b.pem"}},
        ),
        (Database("d", "u", tls="none", ca="/etc/ca.pem"), {"NAME": "d"}),
        (
            Database("d", "u", tls="required", ca="ca.pem"),
            {"OPTIONS": {"ssl_mode": "VERIFY_IDENTITY", "ssl_ca": str(Path("ca.pem").absolute())}},
        ),
        (
            Database("d", "u", tls="required", certificate="/c.pem", key="/k.pem"),
            {"OPTIONS": {"ssl_mode": "REQUIRED", "ssl_cert": "/c.pem", "ssl_key": "/k.pem"}},
        ),
        (
            Database("d", "u", certificate="/c.pem", key="/k.pem"),
            {"OPTIONS": {"ssl_mode": "VERIFY_IDENTITY", "ssl_cert": "/c.pem", "ssl_key": "/k.pem"}},
        ),
    ],
)
def test_the_url_says_the_same(database: Database, expected: dict[str, object]) -> None:
    understood = environ.Env.db_url_config(database.url())
    assert {name: understood[name] for name in expected} == expected


@pytest.mark.parametrize(
    ("encryption", "port", "tls"),
    [
        ("tls", 587, "starttls"),
        ("tls", 465, "tls"),
        ("ssl", 25, "tls"),
        ("starttls", 465, "starttls"),
        ("none", 25, "none"),
    ],
)
def test_what_encryption_means(tmp_path: Path, encryption: str, port: int, tls: str) -> None:
    content = {"notification": {"host": "smtp.example", "port": port, "encryption": encryption}}
    assert environment(_read(tmp_path, content))["ECTS_EMAIL_TLS"] == tls


def test_a_short_secret_does_not_sign(tmp_path: Path) -> None:
    assert keys(_read(tmp_path, {"auth": {"secret": "s" * 31}})) == {}
    assert keys(_read(tmp_path, {"auth": {"secret": "s" * 32}})) == {"SECRET_KEY": "s" * 32}


@pytest.mark.parametrize(
    ("content", "said"),
    [
        ({"database": {"user": "u"}}, "database.name: it is missing"),
        ({"database": {"name": "d", "user": "u", "port": "x"}}, "database.port: "),
        ({"database": {"name": "d", "user": "u", "port": 70000}}, "database.port: "),
        ({"database": {"name": "d`; --", "user": "u"}}, "database.name: "),
        ({"database": {"name": "d", "user": "u", "char": "latin1"}}, "database.char: it must be utf8mb4"),
        ({"database": {"name": "d", "user": "u", "pass": "a\nb"}}, "database.pass: it must be one line"),
        ({"auth": {"ttl": -1}}, "auth.ttl: "),
        ({"auth": {"encryption": "ab"}}, "auth.encryption: it must be 32 bytes in hexadecimal"),
        ({"notification": {"url": "https://ects.example/console"}}, "notification.url: it must be an address without"),
        ({"console": {"port": 0}}, "console.port: "),
        ({"etcd": {"endpoints": []}}, "etcd.endpoints: "),
        ({"etcd": {"endpoints": ["http://h:2379"]}}, "etcd.endpoints: 'http://h:2379' is not HOST:PORT"),
        ({"etcd": {"endpoints": ["h:1"], "config": "config"}}, "etcd.config: "),
        ({"etcd": {"endpoints": ["h:1"], "service": "/n"}}, "etcd.service: ECTS keeps it at /ects/nodes"),
        ({"notification": {"url": "ects.example"}}, "notification.url: "),
        ({"notification": {"protocol": "pop3"}}, "notification.protocol: it must be smtp"),
        ({"notifications": {}}, "notifications: there is no such field"),
        ({"etcd": {"endpoint": ["h:1"]}}, "etcd.endpoint"),
        ([], "the file: "),
    ],
)
def test_what_is_wrong_is_named(tmp_path: Path, content: object, said: str) -> None:
    with pytest.raises(Invalid) as caught:
        _read(tmp_path, content)
    assert str(caught.value).startswith(said)


@pytest.mark.parametrize(("mode", "text"), [("json", "{"), ("yaml", "a: ["), ("json", "")])
def test_a_file_in_no_form(tmp_path: Path, mode, text: str) -> None:
    path = tmp_path / "config"
    path.write_text(text)
    with pytest.raises(Invalid, match=f"is not {mode.upper()}"):
        read(path, mode)


def test_a_file_that_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(Invalid, match="cannot be read: No such file"):
        read(tmp_path / "none", "json")
