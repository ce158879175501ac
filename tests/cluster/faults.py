"""A random plan of faults for a cluster, from a seed, and who carries it out."""

import random
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass

from tests.cluster.cluster import SESSION_TTL, Cluster
from tests.cluster.worker import Worker

KILL_EVERY = 10.0
"""Seconds between two kills of a worker."""

ELSE_EVERY = 15.0
"""Seconds between two other faults, on average."""

KINDS = ("stop", "silence", "refuse", "leader")


@dataclass(frozen=True, slots=True)
class Fault:
    """``at``: seconds from the beginning. It lasts ``lasts`` seconds. ``choice``, in [0, 1), says whom it strikes."""

    at: float
    kind: str
    lasts: float
    choice: float


def plan(seed: int, seconds: float, kinds: tuple[str, ...] = KINDS) -> list[Fault]:
    """A worker is killed every ten seconds, and other things happen meanwhile; nothing in the last ten seconds."""
    chance = random.Random(seed)
    end = seconds - KILL_EVERY
    faults = [
        Fault(at * KILL_EVERY, "kill", chance.uniform(0.5, 5), chance.random())
        for at in range(1, int(end // KILL_EVERY) + 1)
    ]
    at = chance.expovariate(1 / ELSE_EVERY)
    while kinds and at < end:
        faults.append(Fault(at, chance.choice(kinds), chance.uniform(1, SESSION_TTL + 8), chance.random()))
        at += chance.expovariate(1 / ELSE_EVERY)
    return sorted(faults, key=lambda fault: fault.at)


class Faults:
    """Carries out a plan. ``show`` prints a line.

    No worker and no etcd node is struck while it, or another etcd node, is not well again after the fault before.
    """

    def __init__(self, cluster: Cluster, show: Callable[[str], None]) -> None:
        self._cluster = cluster
        self._show = show
        self._free = list(cluster.workers)
        self._lock = threading.Lock()
        self._etcd = threading.Lock()

    def carry_out(self, faults: list[Fault]) -> None:
        """Returns when the last one is over. Raises AssertionError when a worker does not recover."""
        began = time.monotonic()
        with ThreadPoolExecutor(len(self._cluster.workers) + 1) as pool:
            for result in list(self._begun(pool, faults, began)):
                result.result()

    def _begun(self, pool: ThreadPoolExecutor, faults: list[Fault], began: float) -> Iterator[Future[None]]:
        for fault in faults:
            time.sleep(max(began + fault.at - time.monotonic(), 0))
            yield pool.submit(self._strike, fault)

    def _strike(self, fault: Fault) -> None:
        if fault.kind == "leader":
            self._strike_etcd(fault)
            return
        with self._lock:
            if not self._free:
                return
            worker = self._free.pop(int(fault.choice * len(self._free)))
        self._show(f"{fault.at:6.1f} s: {fault.kind} {worker.name} for {fault.lasts:.1f} s")
        begin, end = HARMS[fault.kind]
        with self._cluster.trouble(worker):
            begin(worker)
            time.sleep(fault.lasts)
            end(worker)
        with self._lock:
            self._free.append(worker)

    def _strike_etcd(self, fault: Fault) -> None:
        if not self._etcd.acquire(blocking=False):
            return
        try:
            leader = self._cluster.leader()
            self._show(f"{fault.at:6.1f} s: kill {leader.name} of etcd, which leads, for {fault.lasts:.1f} s")
            leader.kill()
            time.sleep(fault.lasts)
            leader.start()
        finally:
            self._etcd.release()


Harm = tuple[Callable[[Worker], None], Callable[[Worker], None]]

HARMS: dict[str, Harm] = {
    "kill": (Worker.kill, Worker.start),
    "stop": (Worker.pause, Worker.resume),
    "silence": (lambda worker: worker.network.silence(), lambda worker: worker.network.restore()),
    "refuse": (lambda worker: worker.network.refuse(), lambda worker: worker.network.restore()),
}
"""What is done to a worker, and what ends it."""
