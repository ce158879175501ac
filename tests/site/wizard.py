"""``manage.py init --mode web`` as a process, and a browser of few words before it."""

import html
import re
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from subprocess import Popen
from typing import Any

import httpx

from tests.etcd_server import free_ports, wait_until
from tests.site.processes import environment, running, wait_for_line

PASSWORD = "seven brave herons"

ADMINISTRATOR = {"name": "boss", "email": "boss@example.org", "password": PASSWORD, "again": PASSWORD}

OWN = {"choice": "own"}
GIVEN = {"choice": "given"}


class Wizard:
    """The wizard's process and one browser that has opened its address. ``page`` is what it shows."""

    def __init__(self, process: "Popen[bytes]", port: int, address: str, log: Path) -> None:
        self.process = process
        self.port = port
        self.address = address
        self.log = log
        self.browser = httpx.Client(base_url=f"http://127.0.0.1:{port}", timeout=60, follow_redirects=True)
        self.page = ""
        self.path = ""

    def open(self) -> "Wizard":
        """Comes in by the printed address."""
        return self.get(self.address)

    def get(self, path: str) -> "Wizard":
        return self._show(self.browser.get(path))

    def post(self, path: str, /, **fields: Any) -> "Wizard":
        """Sends a form with the last page's token against forgery."""
        found = re.search(r'name="csrfmiddlewaretoken" value="(\w+)"', self.page)
        assert found, self.page
        data = {"csrfmiddlewaretoken": found[1], **{name: str(value) for name, value in fields.items()}}
        return self._show(self.browser.post(path, data=data))

    def step(self, step: str, /, button: str = "next", **fields: Any) -> "Wizard":
        """Fills in a step."""
        return self.get(f"/setup/{step}/").post(f"/setup/{step}/", **{button: "yes"}, **fields)

    def _show(self, reply: httpx.Response) -> "Wizard":
        self.page, self.path = reply.text, reply.url.path
        assert reply.status_code < 500, self.log.read_text()[-3000:]
        return self

    @property
    def errors(self) -> dict[str, str]:
        """What the page says is wrong, by field; under "" what belongs to none."""
        found = re.findall(r'<ul class="errorlist[^"]*"(?: id="id_(\w+)_error")?>(.*?)</ul>', self.page, re.DOTALL)
        return {field: self._plain(text) for field, text in found}

    @property
    def words(self) -> str:
        """The page without its markup."""
        return self._plain(self.page)

    def value(self, field: str) -> str:
        """What a text field holds."""
        found = re.search(rf'<input[^>]*name="{field}"[^>]*>', self.page)
        assert found, self.page
        value = re.search(r'value="([^"]*)"', found[0])
        return html.unescape(value[1]) if value else ""

    def set_up(self) -> "Wizard":
        """Presses the last button, and waits for the end."""
        self.get("/setup/review/").post("/setup/begin/")
        wait_until(lambda: "data-end" in self.get("/setup/progress/").page or "/admin/" in self.path, "an end", 120)
        return self

    @staticmethod
    def _plain(markup: str) -> str:
        return " ".join(html.unescape(re.sub(r"<[^>]*>", " ", markup)).split())


@contextmanager
def wizard(directory: Path, *arguments: str, **more: str) -> Iterator[Wizard]:
    """A wizard that sets ``directory/var`` up; nobody has come in yet."""
    [port] = free_ports(1)
    log = directory / "log"
    command = [sys.executable, "manage.py", "init", "--mode", "web", *arguments]
    log.unlink(missing_ok=True)
    with running(log, command, environment(directory / "var", ECTS_PORT=str(port), **more)) as process:
        address = wait_for_line(log, "/setup/?token=", 60).strip()
        wait_until(lambda: _answers(port), "the wizard answers", 60)
        yield Wizard(process, port, address, log)


def _answers(port: int) -> bool:
    try:
        return httpx.get(f"http://127.0.0.1:{port}/healthz", timeout=10).text.startswith("setup ")
    except httpx.HTTPError:
        return False
