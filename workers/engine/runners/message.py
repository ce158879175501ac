"""The message of a mail task: text, and HTML where the content is HTML."""

import html.parser
import socket
from datetime import datetime
from email.message import EmailMessage
from email.utils import format_datetime, make_msgid, parseaddr

from coordination.documents import MailSettings
from workers.engine.runners.base import Job


class Undeliverable(Exception):
    """The message cannot be made or sent. The message is a sentence. ``is_uncertain``: it may have been sent."""

    def __init__(self, sentence: str, *, is_uncertain: bool = False) -> None:
        super().__init__(sentence)
        self.is_uncertain = is_uncertain


def compose(job: Job, settings: MailSettings, now: datetime) -> EmailMessage:
    """The message. Without a subject or content of its own it says how the run went. Raises Undeliverable."""
    if not job.task.recipients:
        raise Undeliverable("The task has no recipients: add some.")
    message = EmailMessage()
    sender = settings.sender or settings.user or f"ects@{socket.gethostname()}"
    message["From"] = _address(sender)
    message["To"] = ", ".join(_address(recipient) for recipient in job.task.recipients)
    message["Subject"] = _header(job.task.subject or _default_subject(job))
    message["Date"] = format_datetime(now)
    message["Message-ID"] = make_msgid(domain=parseaddr(sender)[1].rpartition("@")[2])
    # So that no holiday notice comes back (RFC 3834).
    message["Auto-Submitted"] = "auto-generated"
    content = job.task.content or _default_content(job)
    if _is_html(content):
        message.set_content(_text_of(content))
        message.add_alternative(content, subtype="html")
    else:
        message.set_content(content)
    return message


def _default_subject(job: Job) -> str:
    context = job.context
    return f"[ECTS] {context.document.name}: {context.result.state}"


def _default_content(job: Job) -> str:
    facts = job.context.payload()
    lines = [f"{name}: {facts[name]}" for name in ("state", "reason", "scheduled_at", "run") if facts[name]]
    steps = [f"{record.task_name}: {record.state} {record.reason}".rstrip() for record in job.context.steps.values()]
    return "\n".join([f"Pipeline: {job.context.document.name}", *lines, "", *steps]) + "\n"


def _address(text: str) -> str:
    address = parseaddr(_header(text))[1]
    local, at, domain = address.rpartition("@")
    if not (local and at and domain):
        raise Undeliverable(f"{text!r} is not a mail address: write name@example.org.")
    return text.strip()


def _header(text: str) -> str:
    if any(character in text for character in "\r\n\0"):
        raise Undeliverable("A subject or address has a line break in it, which could forge a header: take it out.")
    return text


def _is_html(content: str) -> bool:
    beginning = content[:1000].lower()
    return "<html" in beginning or "<!doctype html" in beginning


class _Text(html.parser.HTMLParser):
    """Collects the text of a page, a line for each block."""

    def __init__(self) -> None:
        super().__init__()
        self.pieces: list[str] = []
        self._hidden = 0

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self._hidden += tag in ("style", "script", "head")
        if tag in ("p", "br", "div", "tr", "li", "h1", "h2", "h3", "table"):
            self.pieces.append("\n")

    def handle_endtag(self, tag: str) -> None:
        self._hidden -= tag in ("style", "script", "head") and self._hidden > 0

    def handle_data(self, data: str) -> None:
        if not self._hidden:
            self.pieces.append(data)


def _text_of(page: str) -> str:
    parser = _Text()
    parser.feed(page)
    lines = (" ".join(line.split()) for line in "".join(parser.pieces).splitlines())
    return "\n".join(line for line in lines if line) + "\n"
