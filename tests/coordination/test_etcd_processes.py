"""The blocking client in web servers: threads, and processes that are forked."""

import os
import signal
import threading
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress

import pytest

from coordination.etcd import SyncEtcd
from coordination.gateway import Compare, EtcdSettings, Put
from tests.etcd_server import EtcdServer, wait_until


def test_threads_share_a_client(etcd: EtcdServer) -> None:
    client = SyncEtcd(EtcdSettings((etcd.endpoint,)))
    barrier = threading.Barrier(8)

    def work(worker: int) -> int:
        barrier.wait()
        for turn in range(20):
            client.transact([], [Put(f"/threads/{worker}", str(turn).encode())])
            item = client.get(f"/threads/{worker}")
            assert item is not None
            assert item.value == str(turn).encode()
        return client.snapshot(f"/threads/{worker}").items[0].version

    with ThreadPoolExecutor(8) as pool:
        assert list(pool.map(work, range(8))) == [20] * 8
    client.close()


# Python 3.12 and newer warn of it in general; this is about a client that can bear it.
@pytest.mark.filterwarnings("ignore:.*use of fork:DeprecationWarning")
def test_a_client_works_on_both_sides_of_a_fork(etcd: EtcdServer) -> None:
    """The child has a connection of its own, and the parent keeps its own."""
    client = SyncEtcd(EtcdSettings((etcd.endpoint,)))
    client.transact([], [Put("/fork", b"parent")])
    for number in range(3):
        pid = os.fork()
        if pid == 0:
            status = 1
            with suppress(BaseException):
                assert client.endpoint is None, "the child uses the parent's connection"
                outcome = client.transact([Compare.holds("/fork", b"parent")], [Put(f"/fork/{number}", b"")])
                status = 0 if outcome.succeeded else 2
            os._exit(status)
        assert _exit_code(pid) == 0
        assert client.get(f"/fork/{number}") is not None
    client.close()


def _exit_code(pid: int) -> int:
    """The child's exit code; a child that hangs is killed and fails the test."""
    try:
        _, status = wait_until(lambda: _ended(pid), "the child's end")
    except AssertionError:
        os.kill(pid, signal.SIGKILL)
        os.waitpid(pid, 0)
        raise
    return os.waitstatus_to_exitcode(status)


def _ended(pid: int) -> tuple[int, int] | None:
    ended = os.waitpid(pid, os.WNOHANG)
    return ended if ended[0] else None
