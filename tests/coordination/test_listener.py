"""The listener answers everybody within its bounds, and nobody keeps it from the next one."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager, suppress

import pytest

from coordination import listener
from coordination.listener import Address, Listener, Page, address
from tests.clock import until
from tests.etcd_server import free_ports

pytestmark = pytest.mark.anyio


async def hello() -> Page:
    return Page(b"hello\n")


@asynccontextmanager
async def listening(make: Callable[[], Awaitable[Page]] = hello, token: str = "") -> AsyncIterator[int]:
    """The port of a listener that shows ``make`` at /metrics and at /page."""
    [port] = free_ports(1)
    it = asyncio.create_task(Listener(Address("127.0.0.1", port), {"/metrics": make, "/page": make}, token=token).run())

    async def answers() -> bool:
        with suppress(OSError):
            _, writer = await asyncio.open_connection("127.0.0.1", port)
            writer.close()
            return True
        return False

    async with asyncio.timeout(60):
        while not await answers():
            await asyncio.sleep(0.01)
    try:
        yield port
    finally:
        it.cancel()
        await asyncio.gather(it, return_exceptions=True)


async def said(port: int, request: bytes) -> str:
    """All that comes back, until the other end closes."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    writer.write(request)
    try:
        async with asyncio.timeout(60):
            return (await reader.read()).decode()
    except ConnectionError:
        return ""
    finally:
        writer.close()


def get(path: str, *headers: str, method: str = "GET") -> bytes:
    return "\r\n".join([f"{method} {path} HTTP/1.1", "Host: x", *headers, "", ""]).encode()


async def test_pages_and_what_is_none() -> None:
    async with listening() as port:
        answer = await said(port, get("/page?query"))
        assert answer.startswith("HTTP/1.1 200 OK\r\n")
        assert answer.endswith("\r\n\r\nhello\n")
        head = await said(port, get("/page", method="HEAD"))
        assert "Content-Length: 6\r\n" in head
        assert head.endswith("\r\n\r\n")
        assert "404 Not Found" in await said(port, get("/admin"))
        assert "405 Method" in await said(port, get("/page", "Content-Length: 0", method="POST"))


async def test_requests_that_are_none() -> None:
    async with listening() as port:
        assert "400 Bad" in await said(port, b"\x16\x03\x01\x02\x00 this is TLS, or worse\r\n\r\n")
        assert "431 " in await said(port, get("/page", "X: " + "x" * 20_000))
        assert await said(port, get("/page")), "it goes on"


async def test_metrics_are_for_this_host_or_for_the_token() -> None:
    async with listening(token="s3cret") as port:
        assert "200 OK" in await said(port, get("/metrics"))
        far = "X-Forwarded-For: 192.0.2.1"
        assert "403 Forbidden" in await said(port, get("/metrics", far))
        assert "403 Forbidden" in await said(port, get("/metrics", far, "Authorization: Bearer s3cre"))
        assert "200 OK" in await said(port, get("/metrics", far, "Authorization: Bearer s3cret"))
        assert "200 OK" in await said(port, get("/page", far))
    assert not listener.may_read_metrics("192.0.2.1", {"authorization": "Bearer "}, "")


async def test_a_page_that_breaks_is_an_error_of_ours() -> None:
    async def broken() -> Page:
        raise RuntimeError("secret detail")

    async with listening(broken) as port:
        answer = await said(port, get("/page"))
        assert "500 Internal" in answer
        assert "secret" not in answer


async def test_so_many_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(listener, "CONNECTIONS", 2)
    inside, go = 0, asyncio.Event()

    async def slow() -> Page:
        nonlocal inside
        inside += 1
        await go.wait()
        return Page(b"slow\n")

    async with listening(slow) as port:
        talks = [asyncio.create_task(said(port, get("/page"))) for _ in range(2)]
        await until(lambda: inside == 2)
        assert await said(port, get("/page")) == "", "one more is closed unheard"
        go.set()
        assert all("slow" in answer for answer in await asyncio.gather(*talks))
        assert "slow" in await said(port, get("/page")), "the places are free again"


async def test_nobody_holds_it_up(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(listener, "TIMEOUT", 0.3)
    monkeypatch.setattr(listener, "CONNECTIONS", 1)

    async def never() -> Page:
        await asyncio.Event().wait()
        raise AssertionError

    async with listening(never) as port:
        assert await said(port, b"GET /page HTTP/1.1\r\nHost:") == "", "who does not finish"
        assert await said(port, get("/page")) == "", "what does not finish"
        assert "404" in await said(port, get("/")), "the place is free again"


async def test_an_address_that_is_taken() -> None:
    async with listening() as port:
        with pytest.raises(OSError, match="in use"):
            await Listener(Address("127.0.0.1", port), {}).run()


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("127.0.0.1:9703", ("127.0.0.1", 9703)),
        ("[::1]:80", ("::1", 80)),
        (" host.example:65535 ", ("host.example", 65535)),
    ],
)
def test_addresses(text: str, expected: tuple[str, int]) -> None:
    assert address(text) == expected
    assert str(address(text)) == text.strip()


@pytest.mark.parametrize("text", ["", "9703", ":9703", "host:", "host:0", "host:65536", "host:x", "host:-1"])
def test_no_addresses(text: str) -> None:
    with pytest.raises(ValueError, match=r"is no HOST:PORT, such as 127\.0\.0\.1:9703"):
        address(text)
