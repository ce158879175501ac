"""Workers as etcd sees them, for a bench: each has a connection of its own and watches a prefix.

Prints ``ready`` when all watches stand, then a line for each event: the key, and the monotonic second at which it came.
A line on its standard input makes it say how many seconds of processor time it has used.
"""

import argparse
import asyncio
import sys
import time
from collections.abc import AsyncGenerator
from contextlib import aclosing
from pathlib import Path
from typing import cast

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from coordination.etcd import AsyncEtcd
from coordination.gateway import Batch, EtcdSettings
from coordination.keys import Keys

AT_ONCE = 50
"""Watches that are begun together."""


async def follow(endpoint: str, prefix: str, begun: asyncio.Event) -> None:
    """One worker."""
    gateway = AsyncEtcd(EtcdSettings(endpoints=(endpoint,)))
    revision = (await gateway.snapshot(prefix, timeout=60)).revision
    watch = cast("AsyncGenerator[Batch, None]", gateway.watch(prefix, revision + 1))
    async with aclosing(watch) as batches:
        begun.set()
        async for batch in batches:
            now = time.monotonic()
            print("".join(f"{event.item.key} {now}\n" for event in batch.events), end="", flush=True)


async def main() -> None:
    """All of them, until standard input is closed."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("endpoint")
    parser.add_argument("first", type=int, help="number of the first worker")
    parser.add_argument("count", type=int)
    parser.add_argument("--everything", action="store_true", help="each watches the documents of all nodes")
    options = parser.parse_args()
    keys, tasks = Keys(), []
    for start in range(options.first, options.first + options.count, AT_ONCE):
        some = range(start, min(start + AT_ONCE, options.first + options.count))
        begun = [asyncio.Event() for _ in some]
        for number, event in zip(some, begun, strict=True):
            prefix = keys.all_pipelines() if options.everything else keys.pipelines(f"node-{number}")
            tasks.append(asyncio.create_task(follow(options.endpoint, prefix, event)))
        await asyncio.gather(*(event.wait() for event in begun))
    print("ready", flush=True)
    while await asyncio.to_thread(sys.stdin.readline):
        print(f"cpu {time.process_time()}", flush=True)
    for task in tasks:
        task.cancel()


if __name__ == "__main__":
    asyncio.run(main())
