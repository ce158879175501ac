"""Bench of the etcd client: what a write, a change that is watched, and a backlog cost beside gRPC without a client.

Prints one JSON object a line: {"figure", "value", "unit", "against", "ratio"}. The ratio is the bare figure's cost
divided by ours: 0.8 means that our client takes a quarter more than the same messages on a bare gRPC channel. Both
are measured in turns within one run against the same private etcd, and medians are taken.
"""

import argparse
import asyncio
import json
import sys
import tempfile
from collections.abc import AsyncGenerator, Awaitable, Callable
from contextlib import aclosing
from pathlib import Path
from statistics import median
from time import perf_counter

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from coordination.etcd import AsyncEtcd, requests  # isort: skip - it prepares gRPC for its import
from grpc import aio

from coordination.etcd import etcd_pb2 as pb
from coordination.etcd.channel import OPTIONS
from coordination.etcd.watch_state import WatchState
from coordination.gateway import EtcdSettings, Put
from tests.etcd_server import EtcdServer, running

VALUE = bytes(1000)
"""A document of a usual size."""

TURNS = 5


class Bare:
    """The same messages on a channel without anything around it."""

    def __init__(self, server: EtcdServer) -> None:
        self.channel = aio.insecure_channel(server.endpoint, options=OPTIONS)
        self._transact = self.channel.unary_unary(
            "/etcdserverpb.KV/Txn",
            request_serializer=pb.TxnRequest.SerializeToString,
            response_deserializer=pb.TxnResponse.FromString,
        )
        self._watch = self.channel.stream_stream(
            "/etcdserverpb.Watch/Watch",
            request_serializer=pb.WatchRequest.SerializeToString,
            response_deserializer=pb.WatchResponse.FromString,
        )

    async def put(self, key: str) -> int:
        reply = await self._transact(requests.transaction([], [Put(key, VALUE)], []), timeout=5)
        return int(reply.header.revision)

    async def close(self) -> None:
        await self.channel.close()

    async def events(self, prefix: str, start: int) -> AsyncGenerator[int, None]:
        """The revision of the newest event, for each message."""
        call = self._watch()
        await call.write(WatchState(prefix, start).request())
        while True:
            reply = await call.read()
            if reply.events or reply.created:
                yield reply.events[-1].kv.mod_revision if reply.events else 0


class Ours:
    """The client under measurement."""

    def __init__(self, server: EtcdServer) -> None:
        self.client = AsyncEtcd(EtcdSettings((server.endpoint,)))

    async def put(self, key: str) -> int:
        return (await self.client.transact([], [Put(key, VALUE)])).revision

    async def close(self) -> None:
        await self.client.close()

    async def events(self, prefix: str, start: int) -> AsyncGenerator[int, None]:
        async with aclosing(self.client.watch(prefix, start)) as watch:
            async for batch in watch:
                yield batch.revision


Side = Bare | Ours


async def put_latency(side: Side, count: int) -> float:
    """Milliseconds of a write, one after the other."""
    times = []
    for number in range(count):
        begin = perf_counter()
        await side.put(f"/put/{number % 100}")
        times.append(perf_counter() - begin)
    return median(times) * 1000


async def concurrent_puts(side: Side, count: int) -> float:
    """Milliseconds a write, fifty at a time."""
    begin = perf_counter()
    for first in range(0, count, 50):
        await asyncio.gather(*(side.put(f"/put/{first + number}") for number in range(50)))
    return (perf_counter() - begin) / count * 1000


async def watch_latency(side: Side, count: int) -> float:
    """Milliseconds from the start of a write until its event is here."""
    times = []
    start = await side.put("/watched/a") + 1
    async with aclosing(side.events("/watched/", start)) as events:
        await anext(events)
        for _ in range(count):
            begin = perf_counter()
            await side.put("/watched/a")
            await anext(events)
            times.append(perf_counter() - begin)
    return median(times) * 1000


async def catch_up(side: Side, start: int, last: int) -> float:
    """Milliseconds for an event of a backlog."""
    begin = perf_counter()
    async with aclosing(side.events("/put/", start)) as events:
        async for revision in events:
            if revision >= last:
                return (perf_counter() - begin) / (last - start + 1) * 1000
    raise AssertionError("the watch ended")


async def compare(
    figure: str, measure: Callable[[Side], Awaitable[float]], sides: tuple[Side, Side], *, a_second: bool = False
) -> None:
    """Print one figure, measured on both sides in turns: milliseconds, or how many of them fit into a second."""
    taken = [[await measure(side) for side in sides] for _ in range(TURNS)]
    ours, bare = (median(column) for column in zip(*taken, strict=True))
    shown = {"value": round(1000 / ours), "unit": "a second"} if a_second else {"value": round(ours, 3), "unit": "ms"}
    line = {"figure": figure, **shown, "against": "a bare gRPC channel", "ratio": round(bare / ours, 2)}
    print(json.dumps(line), flush=True)


async def bench(server: EtcdServer, count: int) -> None:
    sides: tuple[Side, Side] = (Ours(server), Bare(server))
    await compare("write, one at a time", lambda side: put_latency(side, count), sides)
    await compare("write until its event is here", lambda side: watch_latency(side, count), sides)
    start = await sides[0].put("/put/start")
    await compare("writes, fifty at a time", lambda side: concurrent_puts(side, 5 * count), sides, a_second=True)
    last = await sides[0].put("/put/end")
    await compare("events of a backlog", lambda side: catch_up(side, start, last), sides, a_second=True)
    for side in sides:
        await side.close()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--quick", action="store_true", help="a tenth of the repetitions")
    count = 100 if parser.parse_args().quick else 1000
    with tempfile.TemporaryDirectory() as directory, running(Path(directory)) as server:
        asyncio.run(bench(server, count))


if __name__ == "__main__":
    main()
