"""Ends process trees without holding up the event loop: one thread looks at /proc for everybody who waits."""

import asyncio
import logging
from collections.abc import Collection
from concurrent.futures import ThreadPoolExecutor

from workers.engine.clock import Clock
from workers.engine.processes import PAUSE, Hunt, Process, Tree, ask_to_end, run_tree, snapshot, step_tree

log = logging.getLogger(__name__)

DEFAULT_GRACE = 5.0
"""Seconds between SIGTERM and SIGKILL."""

_LONGEST_PAUSE = 0.5


class Reaper:
    """Kills steps and runs. Looks are shared: a hundred kills at once cost as many looks as one."""

    def __init__(self, clock: Clock, grace: float = DEFAULT_GRACE) -> None:
        self._clock = clock
        self.grace = grace
        self._hurried: set[str] = set()
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="reaper")
        self._next: asyncio.Future[list[Process]] | None = None
        self._looking = asyncio.Lock()

    async def end_step(self, run: str, step: int, root: int) -> None:
        """SIGTERM, the grace, then SIGKILL to the whole tree of a step; returns when nothing of it lives."""
        tree = step_tree(run, step, root)
        ask_to_end(tree.living(await self._look()))
        deadline = self._clock.monotonic() + self.grace
        pause = PAUSE
        while run not in self._hurried and self._clock.monotonic() < deadline:
            await self._clock.sleep(pause)
            pause = min(pause * 2, _LONGEST_PAUSE)
            if not tree.living(await self._look()):
                break
        await self._hunt(tree, run)

    async def end_run(self, run: str) -> Hunt:
        """SIGKILL to whatever is left of a run; returns when nothing of it lives (or will not die)."""
        return await self._hunt(run_tree({run}), run)

    async def kill_runs(self, runs: Collection[str]) -> int:
        """As ``end_run``, all of them in one hunt; how many processes there were. For what an earlier life of the
        worker left, which may be thousands."""
        return len((await self._hunt(run_tree(frozenset(runs)), "")).killed)

    def hurry(self, run: str) -> None:
        """The grace of this run's kill is over now."""
        self._hurried.add(run)

    def forget(self, run: str) -> None:
        """This run is over."""
        self._hurried.discard(run)

    def close(self) -> None:
        """Ends the thread."""
        self._thread.shutdown(wait=False, cancel_futures=True)

    async def _hunt(self, tree: Tree, run: str) -> Hunt:
        hunt = Hunt(tree)
        while not hunt.strike(await self._look()):
            await self._clock.sleep(PAUSE)
        if hunt.left:
            log.error("processes %s could not be ended", hunt.left, extra={"run": run} if run else None)
        return hunt

    async def _look(self) -> list[Process]:
        """A look that begins after this call. All who call while one is going share the next."""
        if self._next is None:
            self._next = asyncio.ensure_future(self._look_in_turn())
        return await asyncio.shield(self._next)

    async def _look_in_turn(self) -> list[Process]:
        async with self._looking:
            self._next = None
            return await asyncio.get_running_loop().run_in_executor(self._thread, snapshot)
