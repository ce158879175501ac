"""The test message of the set-up, through real SMTP servers of several kinds."""

import socket
import ssl
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from aiosmtpd.controller import Controller
from aiosmtpd.smtp import AuthResult

from ects_site.configuration_file import Notification
from ects_site.probes import mail
from tests.certificates import Authority
from tests.etcd_server import free_ports


class Mailbox:
    def __init__(self) -> None:
        self.received: list[bytes] = []

    async def handle_RCPT(self, server: Any, session: Any, envelope: Any, address: str, options: list[str]) -> str:
        if address.startswith("nobody"):
            return "550 no such mailbox"
        envelope.rcpt_tos.append(address)
        return "250 OK"

    async def handle_DATA(self, server: Any, session: Any, envelope: Any) -> str:
        self.received.append(envelope.content)
        return "250 OK"


@contextmanager
def _server(**options: Any) -> Iterator[tuple[Mailbox, int]]:
    mailbox = Mailbox()
    [port] = free_ports(1)
    controller = Controller(mailbox, hostname="127.0.0.1", port=port, **options)
    controller.start()
    yield mailbox, port
    controller.stop()


def _wrong(port: int, to: str = "you@example.org", **more: Any) -> dict[str, str]:
    given = {"host": "127.0.0.1", "port": port, "name": "ECTS <ects@example.org>", "encryption": "none", **more}
    return dict(mail.send_test(Notification(**given), to).wrong)


def test_a_message_arrives() -> None:
    with _server() as (mailbox, port):
        assert _wrong(port) == {}
        assert "no such mailbox" in _wrong(port, to="nobody@example.org")["to"]
        assert "no STARTTLS" in _wrong(port, encryption="starttls")["encryption"]
        assert "does not begin with TLS" in _wrong(port, encryption="ssl")["encryption"]
        assert "sign in" in _wrong(port, user="me", password="x")["user"]
    [message] = mailbox.received
    assert b"From: ECTS <ects@example.org>" in message
    assert b"Test message of ECTS" in message


def test_a_server_with_passwords() -> None:
    def check(server: Any, session: Any, envelope: Any, mechanism: str, data: Any) -> AuthResult:
        return AuthResult(success=data.password == b"right", handled=False)

    options = {"authenticator": check, "auth_require_tls": False}
    with _server(**options) as (_, port):
        assert _wrong(port, user="me", password="right") == {}
        assert "refuses this user" in _wrong(port, user="me", password="wrong")["password"]


def test_a_certificate_that_is_not_trusted(tmp_path: Path) -> None:
    authority = Authority(tmp_path, "authority").create()
    own = authority.issue("server", "serverAuth")
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.load_cert_chain(own.certificate, own.key)
    with _server(tls_context=context) as (_, port):
        assert "not signed by this authority" in _wrong(port, encryption="starttls")["host"]


def test_nobody_there() -> None:
    [port] = free_ports(1)
    assert "is refused" in _wrong(port)["port"]
    assert "no machine of this name" in _wrong(25, host="no-such-host.invalid")["host"]


def test_a_server_that_waits_for_tls_is_not_waited_for(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("workers.engine.runners.mail.CONNECT_TIMEOUT", 0.2)
    with socket.socket() as sock:
        sock.bind(("127.0.0.1", 0))
        sock.listen()
        assert "begin with TLS" in _wrong(sock.getsockname()[1])["encryption"]
