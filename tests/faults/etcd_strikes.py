"""What can be done to etcd. Each harms it, waits for so many seconds, and mends it."""

import random
import subprocess
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager

from tests.etcd_server import EtcdServer
from tests.faults.stage import Stage, Wish

SLOW = 300_000
"""Microseconds that each write to the disk takes, beside what it takes."""


def kill_leader(stage: Stage, chance: random.Random, seconds: float) -> None:
    """SIGKILL to the node that leads."""
    leader = stage.leader()
    with stage.trouble_for_all():
        leader.kill()
        time.sleep(seconds)
        leader.start()


def down(stage: Stage, chance: random.Random, seconds: float) -> None:
    """SIGKILL to all of it."""
    with stage.trouble_for_all():
        _kill(stage.etcd)
        stage.make_meanwhile(Wish())
        time.sleep(seconds)
        _start(stage.etcd)


def hang(stage: Stage, chance: random.Random, seconds: float) -> None:
    """SIGSTOP to all of it."""
    with stage.trouble_for_all():
        for server in stage.etcd:
            server.pause()
        stage.make_meanwhile(Wish())
        time.sleep(seconds)
        for server in stage.etcd:
            server.resume()


def slow(stage: Stage, chance: random.Random, seconds: float) -> None:
    """Its disks are slow: every fsync is delayed, by the tracer that is attached to it."""
    with stage.trouble_for_all(), _delayed(stage.etcd):
        time.sleep(seconds)


def compact(stage: Stage, chance: random.Random, seconds: float) -> None:
    """It forgets its past while a worker is cut off."""
    with stage.victim(chance) as worker:
        stage.network.cut(worker.host)
        time.sleep(seconds)
        stage.security.compact([stage.leader().endpoint], stage.view.revision())
        stage.network.restore(worker.host)


def wipe(stage: Stage, chance: random.Random, seconds: float) -> None:
    """It loses all it held, and starts empty."""
    with stage.trouble_for_all(data=True):
        _kill(stage.etcd)
        for server in stage.etcd:
            server.wipe()
        time.sleep(seconds)
        _start(stage.etcd)
        stage.set_up()
        stage.wait_settled()


def _kill(servers: Sequence[EtcdServer]) -> None:
    for server in servers:
        server.kill()


def _start(servers: Sequence[EtcdServer]) -> None:
    for server in servers:
        server.launch()
    for server in servers:
        server.wait_healthy()


@contextmanager
def _delayed(servers: Sequence[EtcdServer]) -> Iterator[None]:
    tracers = []
    for server in servers:
        assert server.process is not None
        command = ["strace", "--quiet=all", "-f", "-o", "/dev/null", "-e", "trace=fsync,fdatasync"]
        command += ["-e", f"inject=fsync,fdatasync:delay_enter={SLOW}", "-p", str(server.process.pid)]
        tracers.append(subprocess.Popen(command, start_new_session=True))
    try:
        yield
    finally:
        for tracer in tracers:
            tracer.terminate()
            tracer.wait()
