"""The connection to the console, on real sockets: kept, dropped, encrypted, slow, cut off, by a proxy."""

import asyncio
import socket
import ssl
import struct
import subprocess
import sys
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import aclosing, asynccontextmanager
from pathlib import Path

import pytest

from tests.certificates import Authority
from tests.endtoend.installation import ROOT
from workers.engine import courier
from workers.engine.clock import SystemClock
from workers.engine.courier import KEPT, Answer, Direct, Unreached, is_proxied
from workers.engine.proxied import Proxied

pytestmark = pytest.mark.anyio

OK = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"
Talk = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"


class MovedClock(SystemClock):
    """The machine's clock, ahead by what the test says."""

    ahead = 0.0

    def monotonic(self) -> float:
        return super().monotonic() + self.ahead


class Server:
    """Talks as it is told; knows how many came and what each said."""

    def __init__(self, talk: Talk, tls: ssl.SSLContext | None) -> None:
        self.connections = 0
        self.heads: list[str] = []
        self.bodies: list[bytes] = []
        self.url = ""
        self._talk = talk
        self.tls = tls

    async def take(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.connections += 1
        try:
            while True:
                head = (await reader.readuntil(b"\r\n\r\n")).decode()
                self.heads.append(head)
                length = int(head.lower().partition("content-length: ")[2].partition("\r\n")[0])
                self.bodies.append(await reader.readexactly(length))
                await self._talk(reader, writer)
        except (OSError, asyncio.IncompleteReadError):
            pass
        finally:
            writer.close()


@asynccontextmanager
async def serving(talk: Talk, tls: ssl.SSLContext | None = None) -> AsyncIterator[Server]:
    server = Server(talk, tls)
    listening = await asyncio.start_server(server.take, "0.0.0.0", 0, ssl=tls)
    port = listening.sockets[0].getsockname()[1]
    server.url = f"{'https' if tls else 'http'}://localhost:{port}"
    try:
        yield server
    finally:
        listening.close()


def says(answer: bytes) -> Talk:
    async def talk(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(answer)

    return talk


async def silence(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    await reader.read()


async def post(direct: Direct, server: Server, body: bytes = b"batch") -> Answer:
    return await direct.post(f"{server.url}/in/?x=1", {"Authorization": "Node t"}, body)


async def test_a_connection_serves_several_requests() -> None:
    async with serving(says(OK)) as server, aclosing(Direct({}, SystemClock())) as direct:
        assert [await post(direct, server, body) for body in (b"a", b"b" * 500_000)] == [(200, b"ok")] * 2
    assert server.connections == 1
    assert server.bodies == [b"a", b"b" * 500_000]
    assert server.heads[0].startswith("POST /in/?x=1 HTTP/1.1\r\n")
    assert f"Host: {server.url.removeprefix('http://')}\r\n" in server.heads[0]
    assert "Authorization: Node t\r\n" in server.heads[0]


async def test_one_that_was_not_used_for_long_is_not_used_again() -> None:
    clock = MovedClock()
    async with serving(says(OK)) as server, aclosing(Direct({}, clock)) as direct:
        await post(direct, server)
        clock.ahead = KEPT + 1
        assert await post(direct, server) == (200, b"ok")
    assert server.connections == 2


@pytest.mark.parametrize(
    "answer",
    [
        b"HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: 2\r\n\r\nok",
        b"HTTP/1.0 200 OK\r\nContent-Length: 2\r\n\r\nok",
    ],
)
async def test_nor_one_that_the_server_ends(answer: bytes) -> None:
    async with serving(says(answer)) as server, aclosing(Direct({}, SystemClock())) as direct:
        assert [await post(direct, server) for _ in range(2)] == [(200, b"ok")] * 2
    assert server.connections == 2


async def test_nor_one_that_it_ends_later() -> None:
    async def talk(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(OK)
        writer.close()

    async with serving(talk) as server, aclosing(Direct({}, SystemClock())) as direct:
        await post(direct, server)
        async with asyncio.timeout(60):
            while (kept := direct._connection) is not None and not kept.is_over:
                await asyncio.sleep(0.005)
        assert await post(direct, server) == (200, b"ok")
    assert server.connections == 2


@pytest.mark.parametrize(
    "answer",
    [
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n1\r\no\r\n1\r\nk\r\n0\r\n\r\n",
        b"HTTP/1.1 100 Continue\r\n\r\n" + OK,
    ],
)
async def test_every_shape_of_an_answer_is_understood(answer: bytes) -> None:
    async with serving(says(answer)) as server, aclosing(Direct({}, SystemClock())) as direct:
        assert [await post(direct, server) for _ in range(2)] == [(200, b"ok")] * 2
    assert server.connections == 1


@pytest.mark.parametrize(
    ("answer", "words"),
    [
        (b"", "without an answer"),
        (b"HTTP/1.1 200 OK\r\nContent-Length: 20\r\n\r\nok", "without sending complete"),
        (b"this is no HTTP\r\n\r\n", "illegal status line"),
        (b"HTTP/1.1 200 OK\r\nContent-Length: 9000000\r\n\r\n" + bytes(9_000_000), "longer than"),
    ],
)
async def test_what_is_no_answer_is_told_and_not_continued(answer: bytes, words: str) -> None:
    answers = [answer, OK]

    async def talk(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        first = answers.pop(0)
        writer.write(first)
        if first is not OK:
            writer.close()

    async with serving(talk) as server, aclosing(Direct({}, SystemClock())) as direct:
        with pytest.raises(Unreached, match=words):
            await post(direct, server)
        assert await post(direct, server) == (200, b"ok")
    assert server.connections == 2


async def test_an_answer_before_the_whole_batch_is_heard() -> None:
    async def refuse(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(b"HTTP/1.1 401 Unauthorized\r\nConnection: close\r\nContent-Length: 0\r\n\r\n")
        # With data unread: the client's next write fails.
        writer.close()

    listening = await asyncio.start_server(refuse, "127.0.0.1", 0)
    async with listening, aclosing(Direct({}, SystemClock())) as direct:
        url = f"http://127.0.0.1:{listening.sockets[0].getsockname()[1]}/"
        assert (await direct.post(url, {}, bytes(20_000_000))).status == 401


async def test_a_reset_is_told_at_once() -> None:
    async def reset(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        linger = struct.pack("ii", 1, 0)
        writer.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, linger)
        writer.transport.abort()

    async with serving(reset) as server, aclosing(Direct({}, SystemClock())) as direct:
        with pytest.raises(Unreached, match="reset by peer"):
            await post(direct, server)


async def test_a_silent_server_is_given_up(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(courier, "TIMEOUT", 0.05)
    async with serving(silence) as server, aclosing(Direct({}, SystemClock())) as direct:
        with pytest.raises(Unreached, match="no answer in time"):
            await post(direct, server)


async def test_so_is_one_that_does_not_take_the_batch(monkeypatch: pytest.MonkeyPatch) -> None:
    given_up = asyncio.Event()

    async def deaf(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        reader._transport.pause_reading()  # type: ignore[attr-defined]
        # A writer that nobody holds any more would close the connection.
        await given_up.wait()
        writer.close()

    monkeypatch.setattr(courier, "TIMEOUT", 0.1)
    listening = await asyncio.start_server(deaf, "127.0.0.1", 0)
    async with listening, aclosing(Direct({}, SystemClock())) as direct:
        url = f"http://127.0.0.1:{listening.sockets[0].getsockname()[1]}/"
        try:
            with pytest.raises(Unreached, match="no answer in time"):
                await direct.post(url, {}, bytes(50_000_000))
        finally:
            given_up.set()


async def test_a_handshake_that_does_not_come_is_given_up(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(courier, "CONNECT_TIMEOUT", 0.1)
    async with serving(silence) as server, aclosing(Direct({}, SystemClock())) as direct:
        with pytest.raises(Unreached, match="no answer in time"):
            await direct.post(server.url.replace("http:", "https:"), {}, b"")


async def test_an_abandoned_request_does_not_answer_the_next() -> None:
    asked, answers = asyncio.Event(), [b"", OK]

    async def talk(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        asked.set()
        writer.write(answers.pop(0))

    async with serving(talk) as server, aclosing(Direct({}, SystemClock())) as direct:
        first = asyncio.create_task(post(direct, server))
        await asked.wait()
        first.cancel()
        await asyncio.gather(first, return_exceptions=True)
        assert await post(direct, server) == (200, b"ok")
    assert server.connections == 2


@pytest.mark.parametrize("url", ["http://127.0.0.1:1/", "ftp://localhost/", "http:///", "http://localhost:x/"])
async def test_where_nothing_can_be_sent(url: str) -> None:
    async with aclosing(Direct({}, SystemClock())) as direct:
        with pytest.raises(Unreached):
            await direct.post(url, {}, b"")


# -- TLS and proxies ------------------------------------------------------------------------------------------------


def tls(directory: Path) -> tuple[Authority, ssl.SSLContext]:
    authority = Authority(directory, "authority").create()
    certificate = authority.issue("server", "serverAuth")
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate.certificate, certificate.key)
    return authority, context


async def test_a_trusted_certificate(tmp_path: Path) -> None:
    authority, context = tls(tmp_path)
    environ = {"SSL_CERT_FILE": str(authority.certificate)}
    async with serving(says(OK), context) as server, aclosing(Direct(environ, SystemClock())) as direct:
        assert [await post(direct, server) for _ in range(2)] == [(200, b"ok")] * 2
    assert server.connections == 1


async def test_a_directory_of_trusted_certificates(tmp_path: Path) -> None:
    _, context = tls(tmp_path)
    subprocess.run(["openssl", "rehash", str(tmp_path)], check=True, capture_output=True)
    async with (
        serving(says(OK), context) as server,
        aclosing(Direct({"SSL_CERT_DIR": str(tmp_path)}, SystemClock())) as d,
    ):
        assert await post(d, server) == (200, b"ok")


async def test_an_unknown_certificate_gets_no_token(tmp_path: Path) -> None:
    _, context = tls(tmp_path)
    async with serving(says(OK), context) as server, aclosing(Direct({}, SystemClock())) as direct:
        with pytest.raises(Unreached, match="certificate verify failed"):
            await post(direct, server)
    assert server.heads == []


async def test_nor_does_one_of_another_host(tmp_path: Path) -> None:
    authority, context = tls(tmp_path)
    environ = {"SSL_CERT_FILE": str(authority.certificate)}
    async with serving(says(OK), context) as server, aclosing(Direct(environ, SystemClock())) as direct:
        server.url = server.url.replace("localhost", "127.0.0.2")
        with pytest.raises(Unreached, match=r"not valid for '127\.0\.0\.2'"):
            await post(direct, server)
    assert server.heads == []


async def test_a_list_of_certificates_that_is_not_there_is_named(tmp_path: Path) -> None:
    async with aclosing(Direct({"SSL_CERT_FILE": str(tmp_path / "none.pem")}, SystemClock())) as direct:
        with pytest.raises(Unreached, match=r"none\.pem cannot be read: No such file"):
            await direct.post("https://localhost/", {}, b"")


async def test_a_proxy_is_asked(monkeypatch: pytest.MonkeyPatch) -> None:
    async with serving(says(OK)) as server:
        monkeypatch.setenv("HTTP_PROXY", server.url)
        async with aclosing(Proxied()) as proxied:
            assert await proxied.post("http://console.invalid:9701/in/", {"X": "y"}, b"batch") == (200, b"ok")
    assert server.heads[0].startswith("POST http://console.invalid:9701/in/ HTTP/1.1\r\n")
    assert server.bodies == [b"batch"]


async def test_a_proxy_that_is_not_there_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HTTP_PROXY", "http://127.0.0.1:1")
    async with aclosing(Proxied()) as proxied:
        with pytest.raises(Unreached):
            await proxied.post("http://console.invalid/", {}, b"")


@pytest.mark.parametrize(
    ("environ", "proxied"),
    [({}, False), ({"NO_PROXY": "x"}, False), ({"https_proxy": ""}, False), ({"ALL_PROXY": "http://p"}, True)],
)
async def test_which_environment_names_a_proxy(environ: dict[str, str], proxied: bool) -> None:
    assert is_proxied(environ) is proxied


async def test_what_an_idle_worker_does_not_load() -> None:
    program = "import sys, workers.engine.__main__; print(*sys.modules)"
    loaded = subprocess.run([sys.executable, "-c", program], cwd=ROOT, check=True, capture_output=True, text=True)
    assert "coordination.etcd" in loaded.stdout.split()
    assert {"httpx", "anyio", "smtplib", "email", "http.client", "html.parser"}.isdisjoint(loaded.stdout.split())
