"""Tries over the network are repeated where that is safe, and nowhere else."""

import asyncio
import socket
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any

import pytest

from coordination.documents import MailSettings, StepDocument
from coordination.records import StepRecord
from tests.execution.bench import Bench, pipeline, step, task
from workers.engine.repetition import NOT_REPEATED

pytestmark = pytest.mark.anyio

TRIES = 3


class Peer:
    """Takes connections, keeps what it is sent, and answers each by ``answer`` (empty: hangs up; None: never)."""

    def __init__(self, answer: bytes | None) -> None:
        self.answer = answer
        self.heard: list[bytes] = []
        self.port = 0

    async def take(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.heard.append(await reader.readuntil(b"\r\n\r\n"))
        if self.answer is None:
            await reader.read()
        writer.write(self.answer or b"")
        writer.close()


@asynccontextmanager
async def listening(take: Callable[..., Any]) -> AsyncIterator[int]:
    server = await asyncio.start_server(take, "127.0.0.1", 0)
    try:
        yield server.sockets[0].getsockname()[1]
    finally:
        server.close()
        await server.wait_closed()


async def _done(bench: Bench, document: StepDocument, **more: Any) -> StepRecord:
    done = await bench.run(pipeline(document, **more))
    return done.journal.steps()[0]


def _asking(url: str, kind: str = "http", timeout: float = 5, **more: Any) -> StepDocument:
    return step(task("x", kind=kind, url=url, **more), 1, timeout=timeout, retries=TRIES - 1)


@pytest.mark.parametrize(
    ("kind", "more", "is_repeated"),
    [
        ("http", {"method": "GET"}, True),
        ("http", {"method": "put"}, True),
        ("http", {"method": "DELETE"}, True),
        ("http", {"method": "POST"}, False),
        ("http", {"method": "PATCH"}, False),
        ("http", {"method": "POST", "headers": {"idempotency-key": "{{ run_id }}"}}, True),
        ("hook", {}, True),
    ],
)
@pytest.mark.parametrize("answer", [b"", None, b"HTTP/1.1 500 No\r\nContent-Length: 0\r\nConnection: close\r\n\r\n"])
async def test_when_nobody_knows_what_was_done(
    bench: Bench, kind: str, more: dict[str, Any], is_repeated: bool, answer: bytes | None
) -> None:
    peer = Peer(answer)
    async with listening(peer.take) as port:
        limit = 0.8 if answer is None else 5
        record = await _done(bench, _asking(f"http://127.0.0.1:{port}/", kind, limit, **more))
    assert record.state == ("timed_out" if answer is None else "failed")
    assert len(peer.heard) == record.attempts == (TRIES if is_repeated else 1)
    assert (NOT_REPEATED in record.reason) == (not is_repeated)


@pytest.mark.parametrize("status", ["503 Later", "429 Too Many", "404 Not Found"])
async def test_what_was_surely_not_done_is_tried_again(bench: Bench, status: str) -> None:
    peer = Peer(f"HTTP/1.1 {status}\r\nContent-Length: 0\r\nConnection: close\r\n\r\n".encode())
    async with listening(peer.take) as port:
        record = await _done(bench, _asking(f"http://127.0.0.1:{port}/", method="POST"))
    assert record.attempts == TRIES
    assert NOT_REPEATED not in record.reason


async def test_without_a_connection_everything_is_tried_again(bench: Bench) -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
    for kind in ("http", "hook"):
        record = await _done(bench, _asking(f"http://127.0.0.1:{port}/", kind, method="POST"))
        assert record.attempts == TRIES
    mail = MailSettings(host="127.0.0.1", port=port, sender="a@example.org")
    letter = step(task("x", kind="mail", recipients=("b@example.org",)), 1, retries=TRIES - 1)
    record = await _done(bench, letter, mail=mail)
    assert record.attempts == TRIES


async def test_the_tries_of_a_hook_carry_one_key(bench: Bench) -> None:
    peer = Peer(b"")
    async with listening(peer.take) as port:
        await _done(bench, _asking(f"http://127.0.0.1:{port}/", "hook"))
    keys = {
        line for heard in peer.heard for line in heard.split(b"\r\n") if line.lower().startswith(b"idempotency-key")
    }
    assert len(peer.heard) == TRIES
    assert len(keys) == 1


@pytest.mark.parametrize(("breaks_at", "is_repeated"), [("HELO", True), ("DATA", False)])
async def test_a_mail_that_may_be_on_its_way_is_not_sent_again(bench: Bench, breaks_at: str, is_repeated: bool) -> None:
    connections = 0

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        nonlocal connections
        connections += 1
        writer.write(b"220 come in\r\n")
        while line := await reader.readline():
            if breaks_at == "HELO" or line == b".\r\n":
                break
            writer.write(b"354 go on\r\n" if line.upper().startswith(b"DATA") else b"250 yes\r\n")
            if line.upper().startswith(b"DATA"):
                while (await reader.readline()) != b".\r\n":
                    pass
                break
        writer.close()

    async with listening(serve) as port:
        mail = MailSettings(host="127.0.0.1", port=port, sender="a@example.org")
        letter = step(task("x", kind="mail", recipients=("b@example.org",)), 1, retries=TRIES - 1)
        record = await _done(bench, letter, mail=mail)
    assert record.state == "failed"
    assert connections == record.attempts == (TRIES if is_repeated else 1)
    assert (NOT_REPEATED in record.reason) == (not is_repeated)
