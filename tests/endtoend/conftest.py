"""One installation for all end-to-end tests; each test makes its own pipelines."""

import email
import json
import threading
from collections.abc import Iterator
from email.message import Message
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest
from aiosmtpd.controller import Controller
from playwright.sync_api import Browser, ConsoleMessage, Error, Page

from tests.endtoend.installation import Installation, free_port


class Receiver:
    """A small HTTP server that remembers what it was sent: (method, path, headers, body)."""

    def __init__(self) -> None:
        self.requests: list[tuple[str, str, dict[str, str], bytes]] = []
        receiver = self

        class Handler(BaseHTTPRequestHandler):
            def answer(self) -> None:
                body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
                receiver.requests.append((self.command, self.path, dict(self.headers), body))
                status = int(self.path.rsplit("/", 1)[-1]) if self.path.startswith("/status/") else 200
                reply = json.dumps({"hello": self.path}).encode()
                self.send_response(status)
                self.send_header("Content-Length", str(len(reply)))
                self.end_headers()
                self.wfile.write(reply)

            do_GET = do_POST = do_PUT = answer

            def log_message(self, *arguments: Any) -> None:
                """Quiet."""

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self._server.server_port}"
        threading.Thread(target=self._server.serve_forever, daemon=True).start()

    def close(self) -> None:
        self._server.shutdown()
        self._server.server_close()


class Mailbox:
    """A local SMTP server that keeps the messages."""

    def __init__(self) -> None:
        self.messages: list[Message] = []
        self.port = free_port()
        self._controller = Controller(self, hostname="127.0.0.1", port=self.port)
        self._controller.start()

    async def handle_DATA(self, server: Any, session: Any, envelope: Any) -> str:
        self.messages.append(email.message_from_bytes(envelope.content))
        return "250 OK"

    def close(self) -> None:
        self._controller.stop()


@pytest.fixture(scope="session")
def receiver() -> Iterator[Receiver]:
    it = Receiver()
    yield it
    it.close()


@pytest.fixture(scope="session")
def mailbox() -> Iterator[Mailbox]:
    it = Mailbox()
    yield it
    it.close()


@pytest.fixture(scope="module", autouse=True)
def nothing_fires_on(request: pytest.FixtureRequest) -> Iterator[None]:
    """What the tests of a module have made fires no more when others run: it would take the machine from them."""
    yield
    for it in _running:
        it.disable_all()


_running: list[Installation] = []


@pytest.fixture(scope="package")
def ects(tmp_path_factory: pytest.TempPathFactory, mailbox: Mailbox) -> Iterator[Installation]:
    directory: Path = tmp_path_factory.mktemp("single") / "var"
    it = Installation(
        directory,
        {
            "ECTS_EMAIL_HOST": "127.0.0.1",
            "ECTS_EMAIL_PORT": str(mailbox.port),
            "ECTS_EMAIL_FROM": "ects@example.org",
            "ECTS_RESYNC_SECONDS": "5",
            "ECTS_LOG_FORMAT": "json",
            "ECTS_ACCESS_LOG": "yes",
            "ECTS_MASTER_METRICS": f"127.0.0.1:{free_port()}",
            "ECTS_WORKER_METRICS": f"127.0.0.1:{free_port()}",
        },
    )
    try:
        it.start()
        _running.append(it)
        yield it
    finally:
        _running.clear()
        it.stop()


@pytest.fixture(scope="module")
def signed_in(ects: Installation, browser: Browser) -> Any:
    """What the browser keeps of a sign-in as the administrator."""
    context = browser.new_context()
    page = context.new_page()
    page.goto(f"{ects.url}/admin/login/")
    page.fill("[name=username]", "admin")
    page.fill("[name=password]", ects.password)
    page.keyboard.press("Enter")
    page.wait_for_url("**/admin/")
    state = context.storage_state()
    context.close()
    return state


@pytest.fixture
def page(ects: Installation, browser: Browser, signed_in: Any) -> Iterator[Page]:
    """Signed in, and nowhere yet. Whatever the page complains of fails the test."""
    complaints: list[str] = []
    context = browser.new_context(viewport={"width": 1440, "height": 900}, storage_state=signed_in)
    page = context.new_page()
    page.on("console", lambda message: complaints.append(message.text) if _is_error(message) else None)
    page.on("pageerror", lambda error: complaints.append(str(error)))
    page.on("request", lambda request: complaints.append(request.url) if _is_elsewhere(request.url, ects) else None)
    yield page
    seen = list(complaints)
    _rest(page)
    context.close()
    assert seen == []


def _rest(page: Page) -> None:
    """A browser that is to close a page while that is on its way to another one may never answer."""
    page.once("dialog", lambda dialog: dialog.accept())
    for _ in range(3):
        try:
            page.goto("about:blank")
        except Error as error:
            if "interrupted by another navigation" not in str(error):
                raise
        page.wait_for_load_state()
        if page.url == "about:blank":
            return


def _is_error(message: ConsoleMessage) -> bool:
    """A refused stream is one to the browser, too."""
    return message.type == "error" and "status of 503" not in message.text


def _is_elsewhere(url: str, ects: Installation) -> bool:
    return not url.startswith((ects.url, "data:", "blob:"))
