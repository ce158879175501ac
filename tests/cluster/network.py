"""One host's way to all others, which can be cut: a small TCP proxy for each place that it talks to."""

import asyncio
import socket
import threading
from collections.abc import AsyncIterator, Coroutine, Sequence
from contextlib import asynccontextmanager, suppress
from typing import Any

from tests.etcd_server import free_ports

PIECE = 1 << 16


class Network:
    """``addresses`` stand for ``destinations`` (``host:port``), in their order.

    Cut by ``silence``, nothing arrives any more and nobody is told; what was on its way arrives after ``restore``, as
    with TCP. Cut by ``refuse``, connections are reset and new ones refused.
    """

    def __init__(self, destinations: Sequence[str]) -> None:
        self._destinations = [_pair(destination) for destination in destinations]
        self._ports = free_ports(len(destinations))
        self.addresses = tuple(f"127.0.0.1:{port}" for port in self._ports)
        self._loop = asyncio.new_event_loop()
        self._listeners: list[asyncio.Task[None]] = []
        self._connections: set[asyncio.Task[None]] = set()
        self._flowing = asyncio.Event()
        self._thread = threading.Thread(target=self._loop.run_forever, daemon=True)
        self._thread.start()
        self._do(self._restore())

    def silence(self) -> None:
        """Everything is accepted, nothing passes."""
        self._loop.call_soon_threadsafe(self._flowing.clear)

    def refuse(self) -> None:
        """The hosts are there and want nothing of this one."""
        self._do(self._refuse())

    def restore(self) -> None:
        """All is well again."""
        self._do(self._restore())

    def close(self) -> None:
        """Ends it for good."""
        self._do(self._refuse())
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()

    def _do(self, work: Coroutine[Any, Any, None]) -> None:
        asyncio.run_coroutine_threadsafe(work, self._loop).result(10)

    async def _restore(self) -> None:
        self._flowing.set()
        if not self._listeners:
            for port, destination in zip(self._ports, self._destinations, strict=True):
                # Not asyncio's server: what it has just accepted when it is closed stays open, and dumb.
                listener = socket.create_server(("127.0.0.1", port), backlog=100)
                listener.setblocking(False)
                self._listeners.append(self._loop.create_task(self._listen(listener, destination)))

    async def _refuse(self) -> None:
        for tasks in (self._listeners, self._connections):
            ended = list(tasks)
            for task in ended:
                task.cancel()
            await asyncio.gather(*ended, return_exceptions=True)
        self._listeners.clear()

    async def _listen(self, listener: socket.socket, destination: tuple[str, int]) -> None:
        with listener:
            while True:
                client, _ = await self._loop.sock_accept(listener)
                task = self._loop.create_task(self._serve(client, destination))
                self._connections.add(task)
                task.add_done_callback(self._connections.discard)

    async def _serve(self, client: socket.socket, destination: tuple[str, int]) -> None:
        with client, suppress(OSError):
            await self._flowing.wait()
            async with _connected(sock=client) as here, _connected(*destination) as there:
                ways = [asyncio.create_task(self._pump(here[0], there[1]))]
                ways += [asyncio.create_task(self._pump(there[0], here[1]))]
                try:
                    await asyncio.wait(ways, return_when=asyncio.FIRST_COMPLETED)
                finally:
                    for way in ways:
                        way.cancel()
                    await asyncio.gather(*ways, return_exceptions=True)

    async def _pump(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while data := await reader.read(PIECE):
            await self._flowing.wait()
            writer.write(data)
            await writer.drain()


@asynccontextmanager
async def _connected(*address: Any, **options: Any) -> AsyncIterator[tuple[asyncio.StreamReader, asyncio.StreamWriter]]:
    """A connection that is reset at the end."""
    reader, writer = await asyncio.open_connection(*address, **options)
    try:
        yield reader, writer
    finally:
        writer.transport.abort()


def _pair(address: str) -> tuple[str, int]:
    host, _, port = address.rpartition(":")
    return host, int(port)
