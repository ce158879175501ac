"""What can be done to etcd. Each harms it, waits for so many seconds, and mends it."""

import random
import subprocess
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from pathlib import Path

from tests.etcd_server import EtcdServer, wait_until
from tests.faults.stage import Stage, Wish

SLOW = 300_000
"""Microseconds that each write to the disk takes, beside what it takes."""

_TRACER = ["strace", "--quiet=all", "-f", "-o", "/dev/null", "-e", "trace=fsync,fdatasync"]
_TRACER += ["-e", f"inject=fsync,fdatasync:delay_enter={SLOW}"]


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
    with stage.trouble_for_all(), delayed([_process(server) for server in stage.etcd]):
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


def _process(server: EtcdServer) -> int:
    assert server.process is not None
    return server.process.pid


def _kill(servers: Sequence[EtcdServer]) -> None:
    for server in servers:
        server.kill()


def _start(servers: Sequence[EtcdServer]) -> None:
    for server in servers:
        server.launch()
    for server in servers:
        server.wait_healthy()


@contextmanager
def delayed(processes: Sequence[int]) -> Iterator[list[subprocess.Popen[bytes]]]:
    """The fsyncs of these processes are, by the tracers that it yields. Raises AssertionError when a tracer cannot
    attach, or does not last."""
    tracers = []
    try:
        for process in processes:
            tracer = subprocess.Popen([*_TRACER, "-p", str(process)], start_new_session=True)
            tracers.append(tracer)
            wait_until(partial(_is_attached, tracer, process), f"the tracer of {process} is attached")
        yield tracers
        for tracer in tracers:
            assert tracer.poll() is None, "a tracer ended before the end of the strike"
    finally:
        for tracer in tracers:
            tracer.terminate()
            tracer.wait()


def _is_attached(tracer: subprocess.Popen[bytes], process: int) -> bool:
    assert tracer.poll() is None, f"the tracer could not attach to {process}"
    return f"TracerPid:\t{tracer.pid}\n" in Path(f"/proc/{process}/status").read_text()
