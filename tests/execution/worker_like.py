"""A process that does what a worker does with its guard, to be killed: ``python -m tests.execution.worker_like N``.

Starts so many stubborn runs under a guard, then writes the guard's pid and waits for its own end.
"""

import asyncio
import os
import sys
import tempfile
from pathlib import Path

from tests.execution.bench import Bench, pipeline
from workers.engine.clock import SystemClock
from workers.engine.guard import Guard
from workers.engine.hands import Hands

STUBBORN = "trap '' TERM INT HUP; setsid sh -c 'trap \"\" TERM; echo begun; while :; do sleep 1; done' & wait"


async def main(number: int) -> None:
    """Runs until it is killed."""
    clock = SystemClock()
    guard = Guard(clock)
    guard.start()
    with tempfile.TemporaryDirectory() as scratch:
        hands = Hands(clock=clock, scratch=Path(scratch), environ=os.environ, guard=guard)
        bench = Bench(clock, hands)
        runs = [bench.prepare(pipeline(STUBBORN)) for _ in range(number)]
        over = bench.prepare(pipeline("setsid sleep 61.5 >/dev/null 2>&1 &"))
        await over.execution.run()
        tasks = [asyncio.create_task(done.execution.run()) for done in runs]
        for done in runs:
            await done.says("begun")
        print(guard.pid, over.run, *(done.run for done in runs), flush=True)
        await asyncio.gather(*tasks)


if __name__ == "__main__":
    asyncio.run(main(int(sys.argv[1])))
