"""Mail tasks against a real SMTP server."""

import asyncio
import email.policy
import socket
import ssl
from collections.abc import Callable, Iterator
from contextlib import closing
from email.message import EmailMessage
from email.parser import BytesParser
from pathlib import Path
from typing import Any

import pytest
from aiosmtpd.controller import Controller
from aiosmtpd.smtp import SMTP, AuthResult, Envelope, LoginPassword, Session

from coordination.documents import MAIL_PASSWORD, MailSettings, PipelineDocument
from tests.certificates import Authority
from tests.clock import until
from tests.execution.bench import Bench, pipeline, step, task

pytestmark = pytest.mark.anyio


class Mailbox:
    """Keeps what it gets; refuses recipients that are called ``nobody``."""

    def __init__(self) -> None:
        self.letters: list[EmailMessage] = []
        self.envelopes: list[Envelope] = []

    async def handle_RCPT(self, server: SMTP, session: Session, envelope: Envelope, address: str, options: Any) -> str:
        """The server's question about each recipient."""
        if address.startswith("nobody"):
            return "550 no such mailbox"
        envelope.rcpt_tos.append(address)
        return "250 OK"

    async def handle_DATA(self, server: SMTP, session: Session, envelope: Envelope) -> str:
        """A whole message."""
        assert isinstance(envelope.content, bytes)
        parsed = BytesParser(EmailMessage, policy=email.policy.default).parsebytes(envelope.content)
        self.letters.append(parsed)
        self.envelopes.append(envelope)
        return "250 OK"


Serve = Callable[..., tuple[Mailbox, int]]


@pytest.fixture
def serve() -> Iterator[Serve]:
    """Starts servers on free ports."""
    controllers: list[Controller] = []

    def start(**options: Any) -> tuple[Mailbox, int]:
        mailbox = Mailbox()
        with closing(socket.create_server(("127.0.0.1", 0))) as listener:
            port = listener.getsockname()[1]
        controllers.append(Controller(mailbox, hostname="127.0.0.1", port=port, **options))
        controllers[-1].start()
        return mailbox, port

    yield start
    for controller in controllers:
        controller.stop()


def letter(port: int, content: str = "Hello {{ pipeline }}", **more: Any) -> PipelineDocument:
    """A pipeline that sends one."""
    settings: dict[str, Any] = {name: more.pop(name) for name in ("user", "tls", "host", "sender") if name in more}
    settings = {"host": "127.0.0.1", "port": port, "sender": "ECTS <ects@example.org>", **settings}
    mail = MailSettings(**settings)
    more = {"recipients": ("ada@example.org",), "subject": "News of {{ node }}", **more}
    return pipeline(step(task(content, kind="mail", **more), 1), mail=mail)


async def test_a_letter_arrives(bench: Bench, serve: Serve) -> None:
    mailbox, port = serve()
    document = letter(port, recipients=("Ada <ada@example.org>", "{{ secrets.BOB }}"))
    done = await bench.run(document, {"BOB": "bob@example.org"})
    assert done.record.state == "succeeded", done.record.reason
    received, envelope = mailbox.letters[0], mailbox.envelopes[0]
    assert envelope.mail_from == "ects@example.org"
    assert envelope.rcpt_tos == ["ada@example.org", "bob@example.org"]
    assert (received["From"], received["Subject"]) == ("ECTS <ects@example.org>", "News of alpha")
    assert received["To"] == "Ada <ada@example.org>, bob@example.org"
    assert received.get_content().strip() == "Hello Nightly"
    assert received["Date"].datetime is not None
    assert received["Message-ID"].endswith("@example.org>")
    assert received["Auto-Submitted"] == "auto-generated"
    assert done.text() == f"Sent to Ada <ada@example.org>, *** through 127.0.0.1:{port}\n"


async def test_html_comes_with_a_text(bench: Bench, serve: Serve) -> None:
    mailbox, port = serve()
    page = "<!DOCTYPE html><html><head><title>T</title></head><body><p>Grüße,</p><p>it is <b>done</b></p></body></html>"
    done = await bench.run(letter(port, page))
    assert done.record.state == "succeeded", done.record.reason
    plain = mailbox.letters[0].get_body(("plain",))
    rich = mailbox.letters[0].get_body(("html",))
    assert plain is not None
    assert rich is not None
    assert plain.get_content().splitlines() == ["Grüße,", "it is done"]
    assert rich.get_content().strip() == page


async def test_without_words_of_its_own_it_tells_the_run(bench: Bench, serve: Serve) -> None:
    mailbox, port = serve()
    mail = MailSettings(host="127.0.0.1", port=port, sender="ects@example.org")
    tell = task(kind="mail", recipients=("ada@example.org",))
    await bench.run(pipeline(step(task("exit 3", name="copy"), 1), on_failure=tell, mail=mail))
    assert mailbox.letters[0]["Subject"] == "[ECTS] Nightly: failed"
    assert 'reason: Step 1 "copy" failed: It ended with exit code 3.' in mailbox.letters[0].get_content()


@pytest.mark.parametrize("field", ["subject", "recipients"])
async def test_no_header_can_be_forged(bench: Bench, serve: Serve, field: str) -> None:
    mailbox, port = serve()
    forged = "x@example.org\r\nBcc: eve@example.org"
    more = {"subject": "{{ FORGED }}"} if field == "subject" else {"recipients": ("{{ FORGED }}",)}
    done = await bench.run(letter(port, **more), environment={"FORGED": forged})
    assert done.record.state == "failed"
    assert "could forge a header" in done.record.reason
    assert mailbox.letters == []


async def test_addresses_are_checked(bench: Bench, serve: Serve) -> None:
    _, port = serve()
    wrong = await bench.run(letter(port, recipients=("ada",)))
    none = await bench.run(letter(port, recipients=()))
    assert "'ada' is not a mail address" in wrong.record.reason
    assert "has no recipients" in none.record.reason


async def test_refused_recipients_are_named(bench: Bench, serve: Serve) -> None:
    mailbox, port = serve()
    some = await bench.run(letter(port, recipients=("ada@example.org", "nobody@example.org")))
    every = await bench.run(letter(port, recipients=("nobody@example.org",)))
    assert (some.record.state, every.record.state) == ("failed", "failed")
    assert "refused these recipients: nobody@example.org: 550 no such mailbox" in some.record.reason
    assert "refused all recipients: nobody@example.org" in every.record.reason
    assert len(mailbox.letters) == 1


def password_is(expected: bytes) -> Callable[..., AuthResult]:
    """An authenticator."""

    def check(server: SMTP, session: Session, envelope: Envelope, mechanism: str, data: Any) -> AuthResult:
        assert isinstance(data, LoginPassword)
        return AuthResult(success=data.password == expected, handled=False)

    return check


@pytest.mark.filterwarnings("ignore:Requiring AUTH while not requiring TLS")
async def test_it_signs_in(bench: Bench, serve: Serve) -> None:
    options = {"authenticator": password_is(b"geheim"), "auth_required": True, "auth_require_tls": False}
    mailbox, port = serve(**options)
    document = letter(port, user="ects")
    good = await bench.run(document, {MAIL_PASSWORD: "geheim"})
    bad = await bench.run(document, {MAIL_PASSWORD: "wrong"})
    none = await bench.run(document)
    assert good.record.state == "succeeded", good.record.reason
    assert "refused the user or password" in bad.record.reason
    assert "set ECTS_EMAIL_PASSWORD" in none.record.reason
    assert len(mailbox.letters) == 1


@pytest.mark.parametrize("way", ["starttls", "tls"])
async def test_tls(bench: Bench, serve: Serve, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, way: str) -> None:
    authority = Authority(tmp_path, "authority").create()
    papers = authority.issue("server", "serverAuth")
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(papers.certificate, papers.key)
    named = {"tls_context": context, "require_starttls": True} if way == "starttls" else {"ssl_context": context}
    mailbox, port = serve(**named)
    strange = await bench.run(letter(port, tls=way))
    monkeypatch.setenv("SSL_CERT_FILE", str(authority.certificate))
    known = await bench.run(letter(port, tls=way))
    assert "is not valid" in strange.record.reason
    assert known.record.state == "succeeded", known.record.reason
    assert len(mailbox.letters) == 1


async def test_no_server_says_where_to_set_it(bench: Bench) -> None:
    done = await bench.run(pipeline(step(task("x", kind="mail", recipients=("ada@example.org",)), 1)))
    assert "set ECTS_EMAIL_HOST" in done.record.reason


async def test_a_server_that_is_not_there(bench: Bench) -> None:
    with closing(socket.create_server(("127.0.0.1", 0))) as listener:
        port = listener.getsockname()[1]
    refused = await bench.run(letter(port))
    unknown = await bench.run(letter(25, host="no-such-host.invalid"))
    assert "the connection was refused, nothing listens there" in refused.record.reason
    assert "the name is not known" in unknown.record.reason


async def test_a_kill_cuts_a_delivery(bench: Bench) -> None:
    async def silent(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b"220 come in\r\n")
        said.append(await reader.readline())
        await reader.read()
        writer.close()

    said: list[bytes] = []
    server = await asyncio.start_server(silent, "127.0.0.1", 0)
    done = bench.prepare(letter(server.sockets[0].getsockname()[1]))
    running = asyncio.create_task(done.execution.run())
    await until(lambda: bool(said))
    done.execution.cancel("killed by ada")
    async with asyncio.timeout(60):
        assert (await running).state == "killed"
    server.close()
    await server.wait_closed()
