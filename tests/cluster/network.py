"""One host's way to all others, which can be cut: a small TCP proxy for each place that it talks to."""

import asyncio
import threading
from collections.abc import Coroutine, Sequence
from contextlib import suppress
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
        self._servers: list[asyncio.Server] = []
        self._connections: set[asyncio.StreamWriter] = set()
        self._flowing = asyncio.Event()
        self._thread = threading.Thread(target=self._loop.run_forever, daemon=True)
        self._thread.start()
        self._do(self._listen())

    def silence(self) -> None:
        """Everything is accepted, nothing passes."""
        self._loop.call_soon_threadsafe(self._flowing.clear)

    def refuse(self) -> None:
        """The hosts are there and want nothing of this one."""
        self._do(self._hang_up())

    def restore(self) -> None:
        """All is well again."""
        self._do(self._listen())

    def close(self) -> None:
        """Ends it for good."""
        self._do(self._hang_up())
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()

    def _do(self, work: Coroutine[Any, Any, None]) -> None:
        asyncio.run_coroutine_threadsafe(work, self._loop).result(10)

    async def _listen(self) -> None:
        self._flowing.set()
        for place in range(len(self._servers), len(self._ports)):
            self._servers.append(await self._server(place))

    async def _server(self, place: int) -> asyncio.Server:
        async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            with suppress(OSError):
                await self._forward(self._destinations[place], reader, writer)
            _reset(writer)

        return await asyncio.start_server(serve, "127.0.0.1", self._ports[place])

    async def _forward(
        self, destination: tuple[str, int], reader: asyncio.StreamReader, writer: asyncio.StreamWriter
    ) -> None:
        self._connections.add(writer)
        try:
            await self._flowing.wait()
            there, back = await asyncio.open_connection(*destination)
            self._connections.add(back)
            try:
                ways = [asyncio.create_task(self._pump(reader, back)), asyncio.create_task(self._pump(there, writer))]
                await asyncio.wait(ways, return_when=asyncio.FIRST_COMPLETED)
                for way in ways:
                    way.cancel()
                await asyncio.gather(*ways, return_exceptions=True)
            finally:
                self._connections.discard(back)
                _reset(back)
        finally:
            self._connections.discard(writer)

    async def _pump(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while data := await reader.read(PIECE):
            await self._flowing.wait()
            writer.write(data)
            await writer.drain()

    async def _hang_up(self) -> None:
        for server in self._servers:
            server.close()
        self._servers.clear()
        for writer in self._connections:
            _reset(writer)
        # Those who waited for the flow find their connections gone.
        self._flowing.set()
        await asyncio.sleep(0)


def _reset(writer: asyncio.StreamWriter) -> None:
    writer.transport.abort()


def _pair(address: str) -> tuple[str, int]:
    host, _, port = address.rpartition(":")
    return host, int(port)
