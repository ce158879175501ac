"""What makes a task usable, for the admin's forms and for the API. Every message says what to do."""

import re
from collections.abc import Mapping
from typing import Any
from urllib.parse import urlsplit

from django.utils.translation import gettext as _

from tasks.models import Task

Errors = dict[str, list[str]]
"""Messages by the name of the field to mend."""

METHODS = ("GET", "POST", "PUT", "PATCH", "DELETE", "HEAD", "OPTIONS")

MAX_TEXT = 256 * 1024
"""Bytes (UTF-8) of a task's content: a pipeline with all its tasks has to fit into one etcd request of 1.5 MB."""

MAX_ENTRIES = 200
"""Entries of headers, recipients and other maps and lists."""

MAX_VALUE = 32 * 1024
"""Bytes (UTF-8) of one header, variable or the like."""

_SECRET_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
_HEADER_NAME = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+")  # RFC 9110, section 5.6.2: token
_STATUS = re.compile(r"([1-5])(?:xx|([0-9]{2})(?:-([1-5][0-9]{2}))?)", re.IGNORECASE)
_RECIPIENT = re.compile(r"[^\s@,;<>]+@[^\s@,;<>]+")
_CONTROL = re.compile(r"[\x00-\x1f\x7f]")


def task_errors(task: Task) -> Errors:
    """What is wrong with a task, saved or not; empty when it can be run."""
    found = {
        "content": _content_error(task),
        "interpreter": _interpreter_error(task),
        "url": _url_error(task),
        "method": _method_error(task),
        "headers": headers_error(task.headers),
        "expect_status": expect_status_error(task.expect_status),
        "signing_secret": _signing_secret_error(task.signing_secret),
        "recipients": _recipients_error(task),
        "subject": _("Write it on one line.") if _CONTROL.search(task.subject) else "",
    }
    return {field: [message] for field, message in found.items() if message}


def text_map_error(value: Any) -> str:
    """Why this is no map of texts to texts that can be stored and sent; empty when it is one."""
    if not isinstance(value, Mapping):
        return _('Give names and values, such as {"NAME": "value"}.')
    if len(value) > MAX_ENTRIES:
        return _("Give at most %(count)d entries.") % {"count": MAX_ENTRIES}
    for name, text in value.items():
        if not isinstance(name, str) or not name or not isinstance(text, str):
            return _("%(name).100r: names and values have to be texts; put numbers in quotation marks.") % {
                "name": name
            }
        if not _is_clean(name) or not _is_clean(text) or len(text.encode()) > MAX_VALUE:
            return _("%(name).100r: it holds characters that cannot be sent, or is longer than 32 KiB.") % {
                "name": name
            }
    return ""


def headers_error(headers: Any) -> str:
    """Why these are no HTTP headers; empty when they are."""
    if problem := text_map_error(headers):
        return problem
    for name, text in headers.items():
        if not _HEADER_NAME.fullmatch(name):
            return _("%(name).100r is no header name: use letters, digits and dashes.") % {"name": name}
        if _CONTROL.search(text.replace("\t", " ")):
            return _("The header %(name).100s has a line break or control character: take it out.") % {"name": name}
    return ""


def expect_status_error(text: str) -> str:
    """Why this names no HTTP statuses; empty when it does, or says nothing."""
    for part in text.split(",") if text else ():
        match = _STATUS.fullmatch(part.strip())
        backwards = match and match[3] and int(match[3]) < int(match[1] + match[2])
        if not match or backwards:
            return _(
                "%(part).50r is no status: write a status, a class or a range, such as 200, 2xx or 200-299,304."
            ) % {"part": part.strip()}
    return ""


def _content_error(task: Task) -> str:
    if task.kind == Task.Kind.SHELL and not task.content.strip():
        return _("A shell task needs a script: write the commands to run.")
    if len(task.content.encode(errors="replace")) > MAX_TEXT:
        return _("It is longer than 256 KiB: put the script into a file on the nodes and call it.")
    return ""


def _interpreter_error(task: Task) -> str:
    if task.kind == Task.Kind.SHELL and (not task.interpreter.strip() or _CONTROL.search(task.interpreter)):
        return _("Name the program that runs the script, such as /bin/sh or /usr/bin/python3.")
    return ""


def _url_error(task: Task) -> str:
    if task.kind not in (Task.Kind.HTTP, Task.Kind.HOOK):
        return ""
    if not task.url:
        return _("Give the address to call, beginning with http:// or https://.")
    if task.url.startswith("{{"):
        return ""
    try:
        parts = urlsplit(task.url)
        usable = parts.scheme in ("http", "https") and parts.hostname and (parts.port or True)
    except ValueError:
        usable = False
    if not usable or re.search(r"\s", re.sub(r"\{\{.*?\}\}", "", task.url)):
        return _("This is no web address: write one such as https://example.com/path.")
    return ""


def _method_error(task: Task) -> str:
    if task.kind == Task.Kind.HTTP and task.method not in METHODS:
        return _("Choose one of %(methods)s.") % {"methods": ", ".join(METHODS)}
    return ""


def _signing_secret_error(name: str) -> str:
    if name and not _SECRET_NAME.fullmatch(name):
        return _("Give the name of a secret, not its value: letters, digits and _.")
    return ""


def _recipients_error(task: Task) -> str:
    recipients = task.recipients
    if not isinstance(recipients, list) or not all(isinstance(one, str) for one in recipients):
        return _('Give a list of addresses, such as ["ops@example.com"].')
    if len(recipients) > MAX_ENTRIES:
        return _("Give at most %(count)d entries.") % {"count": MAX_ENTRIES}
    if task.kind == Task.Kind.MAIL and not recipients:
        return _("A mail needs at least one recipient.")
    for one in recipients:
        if not _is_clean(one) or not (_RECIPIENT.fullmatch(one) or one.startswith("{{")):
            return _("%(address).100r is no mail address: write one such as ops@example.com.") % {"address": one}
    return ""


def _is_clean(text: str) -> bool:
    """No NUL (no program can be given one) and no lone surrogate (no UTF-8)."""
    return "\0" not in text and not any("\ud800" <= character <= "\udfff" for character in text)
