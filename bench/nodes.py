"""Bench of the number of nodes: what a change costs when 10, 100 or 1,000 workers watch the same etcd.

Prints one JSON object a line: {"figure", "value", "unit", "against", "ratio"}. A change puts one signed document of
2,000 bytes for one of the nodes. Workers are simulated (bench/_watchers.py): each has a TCP connection and a watch of
its own node's documents, as the product's worker has. The ratio is that figure with workers that all watch the
documents of all nodes, as the original system and cronsun have it, divided by ours, within one run: 1 and more is good.
Told are the time from the put to the event at the node, and the processor time of etcd and of all workers together.
"""

import argparse
import os
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from statistics import median
from typing import NamedTuple

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from bench._worker import say
from coordination.etcd import SyncEtcd
from coordination.gateway import EtcdSettings, Put
from coordination.keys import Keys
from tests.etcd_server import EtcdServer, running, wait_until

IN_ONE_PROCESS = 250
DOCUMENT = os.urandom(2000)
PATIENCE = 120.0
"""Seconds."""


class Cost(NamedTuple):
    """Of one change, in milliseconds: until its node has it, and of processor time."""

    delay: float
    store: float
    workers: float


class Cluster:
    """So many workers, in a few processes."""

    def __init__(self, store: EtcdServer, count: int, *, everything: bool) -> None:
        self._events: dict[str, list[float]] = {}
        self._changed = threading.Condition()
        self._said: dict[int, list[str]] = {}
        self._processes: list[subprocess.Popen[str]] = []
        for first in range(0, count, IN_ONE_PROCESS):
            number = min(IN_ONE_PROCESS, count - first)
            command = [sys.executable, "bench/_watchers.py", store.endpoint, str(first), str(number)]
            process = subprocess.Popen(
                command + ["--everything"] * everything,
                cwd=Path(__file__).resolve().parent.parent,
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                text=True,
            )
            self._processes.append(process)
            self._said[process.pid] = []
            threading.Thread(target=self._read, args=[process], daemon=True).start()
        wait_until(self._ready, f"{count} workers are there", PATIENCE)

    def seen(self, key: str, times: int) -> float:
        """The monotonic second of the first event of a key, once it has come so many times."""
        with self._changed:
            assert self._changed.wait_for(lambda: len(self._events.get(key, ())) >= times, PATIENCE), key
            return min(self._events[key])

    def cpu(self) -> float:
        """Seconds of processor time of all of them so far."""
        told = {pid: len(lines) for pid, lines in self._said.items()}
        for process in self._processes:
            assert process.stdin
            process.stdin.write("\n")
            process.stdin.flush()
        with self._changed:
            answered = self._changed.wait_for(
                lambda: all(len(lines) > told[pid] for pid, lines in self._said.items()), PATIENCE
            )
            assert answered, "the workers do not answer"
            return sum(float(lines[-1].split()[1]) for lines in self._said.values())

    def close(self) -> None:
        """Ends them."""
        for process in self._processes:
            process.kill()
            process.wait()

    def _ready(self) -> bool:
        assert all(process.poll() is None for process in self._processes), "a process of workers has ended"
        return all("ready\n" in lines for lines in self._said.values())

    def _read(self, process: "subprocess.Popen[str]") -> None:
        assert process.stdout
        for line in process.stdout:
            with self._changed:
                if line.startswith("/"):
                    key, instant = line.split()
                    self._events.setdefault(key, []).append(float(instant))
                else:
                    self._said[process.pid].append(line)
                self._changed.notify_all()


@contextmanager
def cluster(store: EtcdServer, count: int, *, everything: bool) -> Iterator[Cluster]:
    """Ended in any case."""
    workers = Cluster(store, count, everything=everything)
    try:
        yield workers
    finally:
        workers.close()


def measure(store: EtcdServer, nodes: int, changes: int, *, everything: bool) -> Cost:
    """One change after the other, each for another node."""
    gateway, keys, delays = SyncEtcd(EtcdSettings(endpoints=(store.endpoint,))), Keys(), []
    with cluster(store, nodes, everything=everything) as workers:
        spent, spent_by_store = workers.cpu(), cpu(store)
        for number in range(changes):
            key = keys.pipeline(f"node-{number * 7919 % nodes}", f"{everything}-{nodes}-{number}")
            begin = time.monotonic()
            gateway.transact([], [Put(key, DOCUMENT)])
            delays.append(workers.seen(key, nodes if everything else 1) - begin)
        spent, spent_by_store = workers.cpu() - spent, cpu(store) - spent_by_store
    return Cost(median(delays) * 1e3, spent_by_store / changes * 1e3, spent / changes * 1e3)


def cpu(store: EtcdServer) -> float:
    """Seconds of processor time of etcd so far (proc(5), stat)."""
    assert store.process
    fields = Path(f"/proc/{store.process.pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def report(nodes: int, turns: Sequence[tuple[Cost, Cost]]) -> None:
    """Medians of the turns, and of their ratios."""
    for name, what in (("delay", "a change to its node"), ("store", "etcd's processor"), ("workers", "the workers'")):
        ours = median(getattr(own, name) for own, _ in turns)
        ratios = [getattr(all_of_it, name) / max(getattr(own, name), 0.01) for own, all_of_it in turns]
        say(f"{what}, {nodes} workers", ours, "ms a change", "every worker watches all nodes", median(ratios))


def main() -> None:
    """Reads the command line and measures."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--quick", action="store_true", help="10 and 100 workers, one turn")
    quick = parser.parse_args().quick
    changes, turns = (50, 1) if quick else (200, 3)
    with tempfile.TemporaryDirectory() as name, running(Path(name) / "etcd") as store:
        for nodes in (10, 100) if quick else (10, 100, 1000):
            report(
                nodes,
                [
                    (
                        measure(store, nodes, changes, everything=False),
                        measure(store, nodes, changes, everything=True),
                    )
                    for _ in range(turns)
                ],
            )


if __name__ == "__main__":
    main()
