"""``manage.py init --mode web`` over HTTP: who comes in, what is wrong beside its field, and what is kept."""

import re
import signal
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

from tests.etcd_server import EtcdServer, free_ports
from tests.site.processes import manage, mentioning
from tests.site.wizard import ADMINISTRATOR, GIVEN, OWN, PASSWORD, Wizard, wizard


@pytest.fixture(scope="module")
def begun(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Wizard]:
    """One wizard for all tests that do not come to its end."""
    with wizard(tmp_path_factory.mktemp("wizard")) as it:
        yield it.open()


def test_only_the_first_browser_comes_in(tmp_path: Path) -> None:
    with wizard(tmp_path) as it:
        token = it.address.partition("token=")[2]
        assert len(token) == 43, "256 bits"
        with httpx.Client(base_url=f"http://127.0.0.1:{it.port}", timeout=30) as stranger:
            assert stranger.get("/setup/etcd/").status_code == 403
            assert stranger.get("/setup/?token=" + "x" * 43).status_code == 403
            # Programs that look at a link before a person follows it do not use it up.
            assert stranger.head(it.address).status_code == 403
            it.open()
            assert it.path == "/setup/etcd/"
            assert token not in it.page
            refused = stranger.get(it.address)
            assert refused.status_code == 403
            assert "Another browser has opened the wizard" in refused.text
            assert not stranger.cookies
            assert stranger.get("/setup/etcd/").status_code == 403
        assert "token" not in it.get(it.address).path, "again in the same browser"
        cookie = next(each for each in it.browser.cookies.jar if each.name == "ects_setup")
        assert cookie.path == "/setup/"
        assert cookie.has_nonstandard_attr("HttpOnly")
        reply = it.browser.get("/setup/etcd/")
        assert reply.headers["Cache-Control"] == "no-store"
        assert "unsafe" not in reply.headers["Content-Security-Policy"]
        assert it.browser.post("/setup/etcd/", data=OWN).status_code == 403, "a form from elsewhere"

        it.process.send_signal(signal.SIGINT)
        assert it.process.wait(120) == 1
        assert "nothing is changed" in it.log.read_text()
        assert it.log.read_text().count(token) == 1
        assert not (tmp_path / "var" / "settings.env").exists()
        assert not (tmp_path / "var" / "ects.sqlite3").exists()
        assert mentioning(str(tmp_path / "var")) == []


def test_what_is_wrong_is_said_beside_its_field_and_kept(begun: Wizard, etcd: EtcdServer, mariadb_socket: str) -> None:
    [port] = free_ports(1)
    wrong = begun.step(
        "etcd", **GIVEN, endpoints=f"127.0.0.1:{port}", key_prefix="/mine", user="me", password="s3cret!"
    )
    assert set(wrong.errors) == {"endpoints"}
    assert "is refused" in wrong.errors["endpoints"]
    assert (wrong.value("key_prefix"), wrong.value("user"), wrong.value("password")) == ("/mine", "me", "")
    assert "kept; type to replace it" in wrong.page
    assert "s3cret!" not in wrong.page
    assert (
        "This field is required." in begun.step("etcd", **GIVEN, endpoints="", key_prefix="/ects").errors["endpoints"]
    )
    tried = begun.step("etcd", "test", **GIVEN, endpoints=f"http://{etcd.endpoint}/", key_prefix="ects-web")
    assert tried.errors == {}
    assert "can be written, read and deleted" in tried.words
    assert begun.step("etcd", **OWN).path == "/setup/database/"

    server = {"host": mariadb_socket, "port": 3306, "name": "shop", "user": "root"}
    assert "refuses nobody" in begun.step("database", **GIVEN, **server | {"user": "nobody"}).errors["password"]
    wrong = begun.step("database", **GIVEN, **server | {"name": "no;name", "port": "x"})
    assert "Enter a whole number" in wrong.errors["port"]
    wrong = begun.step("database", **GIVEN, **server | {"name": "no;name"})
    assert "it must be 1 to 64 letters" in wrong.errors["name"]
    assert wrong.value("name") == "no;name"
    assert begun.step("database", **OWN).path == "/setup/keys/"


def test_the_later_steps_say_what_is_wrong_too(begun: Wizard, tmp_path: Path) -> None:
    begun.step("etcd", **OWN)
    begun.step("database", **OWN)
    wrong = begun.step("keys", **GIVEN, directory=str(tmp_path))
    assert "secret_key cannot be read: No such file" in wrong.errors["directory"]
    wrong = begun.step("keys", **GIVEN, directory="", secret="short", encryption="zz")
    assert "fewer than 32" in wrong.errors["secret"]
    assert "32 bytes in hexadecimal" in wrong.errors["encryption"]
    fingerprint = re.search(r"<code>(\w{16})</code>", begun.get("/setup/keys/").page)
    assert fingerprint
    assert fingerprint[1] in begun.step("keys", **OWN).words

    wrong = begun.step("administrator", **ADMINISTRATOR | {"password": "password", "again": "passw0rd"})
    assert "too common" in wrong.errors["password"]
    assert "differ" in wrong.errors["again"]
    assert "valid email" in begun.step("administrator", **ADMINISTRATOR | {"email": "boss"}).errors["email"]
    assert (
        "too similar"
        in begun.step("administrator", **ADMINISTRATOR | {"name": PASSWORD.replace(" ", "-")}).errors["password"]
    )
    assert begun.step("administrator", **ADMINISTRATOR).path == "/setup/mail/"

    [port] = free_ports(1)
    server = {"host": "127.0.0.1", "port": port, "encryption": "none", "name": "ects@example.org"}
    assert "is refused" in begun.step("mail", "test", **GIVEN, **server, to="me@example.org").errors["port"]
    assert "Whom" in begun.step("mail", "test", **GIVEN, **server).errors["to"]
    assert begun.step("mail", **OWN).path == "/setup/address/"
    wrong = begun.step("address", url="ects.example/console", bind="127.0.0.1", example="on")
    assert "without a path" in wrong.errors["url"]
    assert "nobody would run it" in begun.step("address", url="", bind="127.0.0.1", example="on").errors["example"]
    done = begun.step("address", url=f"http://127.0.0.1:{begun.port}", bind="127.0.0.1")
    assert done.path == "/setup/review/"
    assert f"http://127.0.0.1:{begun.port} leads to this machine" in done.words
    assert PASSWORD not in done.page


def test_it_speaks_chinese(begun: Wizard) -> None:
    """Also what is found out in threads, what Django says of passwords, and what a file's rules say."""
    begun.browser.headers["Accept-Language"] = "zh-hans"
    [port] = free_ports(1)
    wrong = begun.step("etcd", **GIVEN, endpoints=f"127.0.0.1:{port}", key_prefix="/ects")
    assert 'lang="zh-hans"' in wrong.page
    assert "测试并继续" in wrong.page
    assert "连接被拒绝" in wrong.errors["endpoints"]
    wrong = begun.step("administrator", **ADMINISTRATOR | {"password": "a", "again": "a"})
    assert "密码太短" in wrong.errors["password"]
    server = {"host": "127.0.0.1", "port": port, "name": "a b", "user": "u"}
    assert "必须是1 到 64 个字母" in begun.step("database", **GIVEN, **server).errors["name"]
    assert wrong.page.count("English") == 1
    del begun.browser.headers["Accept-Language"]


def test_a_variable_that_would_win_is_named(tmp_path: Path) -> None:
    with wizard(tmp_path, ECTS_EMAIL_HOST="smtp.example", ECTS_ETCD_ENDPOINTS="127.0.0.1:1") as it:
        assert "ECTS_ETCD_ENDPOINTS is set in this environment" in it.open().step("etcd", **OWN).errors["choice"]
        it.step("mail", **GIVEN, host="other.example", port=25, encryption="none")
        assert "ECTS_EMAIL_HOST is set in this environment" in it.errors[""]


def test_one_that_is_set_up_is_left_alone(tmp_path: Path) -> None:
    (tmp_path / "var").mkdir()
    (tmp_path / "var" / "settings.env").write_text('ECTS_EMAIL_HOST="smtp.example"\n')
    refused = manage(tmp_path / "var", "init", "--mode", "web")
    assert refused.returncode == 1
    assert "is set up already" in refused.stderr
