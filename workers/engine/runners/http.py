"""HTTP tasks and hooks (httpx). A hook is a POST of the run's facts as JSON, signed."""

import hashlib
import hmac
import json
import re
import ssl
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager

import httpx

from coordination.documents import DEFAULT_SIGNING_SECRET, TaskDocument
from workers.engine.clock import Clock
from workers.engine.output import StepOutput
from workers.engine.repetition import IDEMPOTENCY_KEY
from workers.engine.runners.base import NETWORK_TIMEOUT, Job, Outcome, failed
from workers.engine.runners.failures import in_plain_words

CONNECT_TIMEOUT = 10.0
"""Seconds for the connection, TLS included."""

BODY_LIMIT = 8 << 20
"""Bytes read of a response; the rest is left unread."""

SIGNATURE_HEADER = "X-ECTS-Signature"
USER_AGENT = "ECTS"

SERVICE_UNAVAILABLE = 503
"""With the client's errors (4xx) the answers that say: not done."""

UNSENT = (
    *(httpx.InvalidURL, httpx.UnsupportedProtocol, httpx.LocalProtocolError),
    *(httpx.ConnectError, httpx.ConnectTimeout, httpx.PoolTimeout, httpx.ProxyError),
)
"""After these no request has left this host."""

_TIMEOUTS = httpx.Timeout(None, connect=CONNECT_TIMEOUT)
_MOST_REDIRECTS = 10
_STATUS_ITEM = re.compile(r"(\d{3})(?:-(\d{3}))?|([1-5])xx", re.IGNORECASE)


class HttpRunner:
    """Sends the request that the task describes; the response's body is the output."""

    default_timeout = NETWORK_TIMEOUT

    def __init__(self, clients: "Clients") -> None:
        self._clients = clients

    async def run(self, job: Job, output: StepOutput) -> Outcome:
        """One request. Redirects are followed if the task says so, and the last response counts."""
        task = job.task
        headers = _with_content_type(task.headers, task.content)
        return await self._clients.send(task, task.method or "GET", headers, task.content.encode(), output)


class HookRunner:
    """Posts the run's facts, as far as they are known; signed when there is a key."""

    default_timeout = NETWORK_TIMEOUT

    def __init__(self, clients: "Clients", clock: Clock) -> None:
        self._clients = clients
        self._clock = clock

    async def run(self, job: Job, output: StepOutput) -> Outcome:
        """One POST. The task's text goes along as ``data`` when it is JSON, else as ``message``."""
        name = job.task.signing_secret
        if name and name not in job.secrets:
            return failed(f"The signing key {name} is not among the secrets that this node could open: save it again.")
        key = job.secrets.get(name or DEFAULT_SIGNING_SECRET, "")
        body = json.dumps(job.context.payload() | _message(job.task.content), ensure_ascii=False).encode()
        headers = {name: value for name, value in job.task.headers.items() if name.lower() != "content-type"}
        headers["Content-Type"] = "application/json"
        headers[IDEMPOTENCY_KEY] = f"{job.run}-{job.index}"
        if key:
            headers[SIGNATURE_HEADER] = signature(key, int(self._clock.now().timestamp()), body)
        return await self._clients.send(job.task, "POST", headers, body, output)


class Clients:
    """Makes a client for each request, so that no cookie or connection is shared between tasks.

    The TLS contexts are made once: loading the certificates takes 20 ms and more. ``HTTP_PROXY``, ``HTTPS_PROXY``
    and ``NO_PROXY`` of the worker's environment count.
    """

    def __init__(self) -> None:
        self._contexts: dict[bool, ssl.SSLContext] = {}

    async def send(
        self, task: TaskDocument, method: str, headers: Mapping[str, str], body: bytes, output: StepOutput
    ) -> Outcome:
        """One request and the judgement of its response. What goes wrong on the way is a failed outcome."""
        try:
            expected = expected_statuses(task.expect_status)
        except ValueError as error:
            return failed(str(error))
        try:
            async with self._response(task, method, headers, body) as response:
                found = await _read_body(response, task.expect_text, output)
        except UNSENT as error:
            return failed(in_plain_words(error, task.url, CONNECT_TIMEOUT))
        except (httpx.HTTPError, OSError, ValueError) as error:
            return failed(in_plain_words(error, task.url, CONNECT_TIMEOUT), is_uncertain=True)
        status = response.status_code
        uncertain = not (400 <= status < 500 or status == SERVICE_UNAVAILABLE)
        if status not in expected:
            wanted = task.expect_status or "2xx"
            phrase = f"{status} {response.reason_phrase}".strip()
            reason = f"The server answered {phrase}; expected was {wanted}."
            return failed(reason, http_status=status, is_uncertain=uncertain)
        if not found:
            reason = f"The response does not contain {task.expect_text!r}."
            return failed(reason, http_status=status, is_uncertain=uncertain)
        return Outcome(state="succeeded", http_status=status)

    @asynccontextmanager
    async def _response(
        self, task: TaskDocument, method: str, headers: Mapping[str, str], body: bytes
    ) -> AsyncIterator[httpx.Response]:
        # Unpacked, a small response may be a thousand times its size: it is asked for as it is.
        own = {"User-Agent": USER_AGENT, "Accept-Encoding": "identity"}
        client = httpx.AsyncClient(
            verify=self._context(task.verify_tls),
            timeout=_TIMEOUTS,
            follow_redirects=task.follow_redirects,
            max_redirects=_MOST_REDIRECTS,
            headers=own,
        )
        async with (
            client,
            client.stream(method.upper(), task.url, headers=dict(headers), content=body or None) as response,
        ):
            yield response

    def _context(self, verify: bool) -> ssl.SSLContext:
        if verify not in self._contexts:
            self._contexts[verify] = httpx.create_ssl_context(verify=verify)
        return self._contexts[verify]


def signature(key: str, unix_time: int, body: bytes) -> str:
    """``t=<unix seconds>,v1=<hex HMAC-SHA256 of "<t>." and the body>``, the value of ``X-ECTS-Signature``."""
    digest = hmac.new(key.encode(), f"{unix_time}.".encode() + body, hashlib.sha256).hexdigest()
    return f"t={unix_time},v1={digest}"


def expected_statuses(text: str) -> frozenset[int]:
    """The status codes meant by "200", "2xx", "200-299,304"; empty means 2xx. Raises ValueError."""
    statuses: set[int] = set()
    for item in (text or "2xx").replace(" ", "").split(","):
        match = _STATUS_ITEM.fullmatch(item)
        if match is None:
            raise ValueError(f"The expected status {text!r} is not understood: write 200, 2xx or 200-299,304.")
        if match[3]:
            statuses.update(range(int(match[3]) * 100, int(match[3]) * 100 + 100))
        else:
            statuses.update(range(int(match[1]), int(match[2] or match[1]) + 1))
    return frozenset(statuses)


async def _read_body(response: httpx.Response, wanted: str, output: StepOutput) -> bool:
    """Takes the body up to the limit into the output; whether ``wanted`` is in it."""
    needle = _encoded(wanted, response.charset_encoding or "utf-8")
    found, overlap, room = not needle, b"", BODY_LIMIT
    async for received in response.aiter_bytes():
        piece = received[:room]
        output.write(piece)
        if output.full:
            await output.flush()
        if not found:
            window = overlap + piece
            found = needle in window
            overlap = window[-len(needle) :]
        room -= len(piece)
        if room == 0:
            break
    return found


def _encoded(text: str, charset: str) -> bytes:
    try:
        return text.encode(charset, "replace")
    except LookupError:
        return text.encode()


def _with_content_type(headers: Mapping[str, str], content: str) -> dict[str, str]:
    if not content or any(name.lower() == "content-type" for name in headers):
        return dict(headers)
    json_like = content.lstrip()[:1] in ("{", "[")
    return {**headers, "Content-Type": "application/json" if json_like else "text/plain; charset=utf-8"}


def _message(content: str) -> dict[str, object]:
    if not content:
        return {}
    try:
        data = json.loads(content)
    except ValueError:
        return {"message": content}
    return {"data": data} if isinstance(data, dict | list) else {"message": content}
