"""Real etcd processes for tests: started on free ports of the loopback, killed, paused, restarted, wiped."""

import json
import os
import random
import shutil
import signal
import socket
import subprocess
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from functools import partial
from pathlib import Path
from typing import Any

START_TIMEOUT = 60.0
"""Seconds an etcd may take to answer after its start; CI's machines are slow."""


def binary() -> str:
    """The etcd to test against: ``ECTS_TEST_ETCD`` names another one than the one on the PATH."""
    return os.environ.get("ECTS_TEST_ETCD") or shutil.which("etcd") or "/usr/bin/etcd"


def wait_until(condition: Callable[[], Any], what: str, timeout: float = 60.0) -> Any:
    """The condition's first true value. Raises AssertionError when there is none within ``timeout`` seconds: a patience
    that only a failure uses up, for beside other tests a machine is slow."""
    deadline = time.monotonic() + timeout
    while time.monotonic() < deadline:
        value = condition()
        if value:
            return value
        time.sleep(0.02)
    raise AssertionError(f"not within {timeout} s: {what}")


def free_ports(count: int) -> list[int]:
    """Ports that nobody listens on at the moment.

    Not of those that the kernel gives to outgoing connections (32768 and up): they would take the place of a server
    that is down for a restart.
    """
    ports: list[int] = []
    # Not from the shared generator: a test that seeds it would give all test processes the same ports.
    chance = random.SystemRandom()
    while len(ports) < count:
        port = chance.randrange(10_000, 32_000)
        with socket.socket() as probe, suppress(OSError):
            probe.bind(("127.0.0.1", port))
            ports.append(port)
    return ports


def stands_still(pid: int) -> bool:
    """Whether all threads of a process are stopped."""
    states = [(task / "stat").read_text() for task in Path(f"/proc/{pid}/task").iterdir()]
    return all(state.rpartition(")")[2].split()[0] in "TtZ" for state in states)


class EtcdServer:
    """One etcd process and its data directory, alone or as a member of a cluster."""

    def __init__(
        self,
        directory: Path,
        *,
        name: str = "etcd",
        options: Sequence[str] = (),
        scheme: str = "http",
        peer_scheme: str = "http",
        address: str = "127.0.0.1",
        prefix: Sequence[str] = (),
    ) -> None:
        """It listens on ``address``. ``prefix`` goes before its command, to start it on another host."""
        self.name = name
        self.address = address
        self.prefix = list(prefix)
        self.directory = directory
        self.client_port, self.peer_port, self.metrics_port = free_ports(3)
        self.scheme = scheme
        self.peer_scheme = peer_scheme
        self.options = list(options)
        self.cluster = f"{name}={self.peer_url}"
        self.process: subprocess.Popen[bytes] | None = None

    @property
    def endpoint(self) -> str:
        """``host:port`` for clients."""
        return f"{self.address}:{self.client_port}"

    @property
    def client_url(self) -> str:
        return f"{self.scheme}://{self.endpoint}"

    @property
    def metrics_url(self) -> str:
        return f"http://{self.address}:{self.metrics_port}"

    @property
    def peer_url(self) -> str:
        return f"{self.peer_scheme}://{self.address}:{self.peer_port}"

    def launch(self) -> None:
        """Start the process without waiting until it answers."""
        self.directory.mkdir(parents=True, exist_ok=True)
        with (self.directory / "log").open("ab") as log:
            self.process = subprocess.Popen(
                [*self.prefix, binary(), *self._arguments(), *self.options],
                stdout=log,
                stderr=log,
                start_new_session=True,
            )

    def start(self) -> None:
        """Start the process and wait until it serves requests."""
        self.launch()
        self.wait_healthy()

    def wait_healthy(self) -> None:
        wait_until(self.healthy, f"{self.name} healthy, see {self.directory / 'log'}", START_TIMEOUT)

    def healthy(self) -> bool:
        """Whether it has a leader and serves requests."""
        assert self.process is not None
        assert self.process.poll() is None, f"{self.name} has ended, see {self.directory / 'log'}"
        try:
            with urllib.request.urlopen(f"{self.metrics_url}/health", timeout=1) as reply:
                return bool(json.load(reply)["health"] == "true")
        except OSError:
            return False

    def leads(self) -> bool:
        """Whether it leads its cluster. By its metrics, which ask for no password."""
        with suppress(OSError), urllib.request.urlopen(f"{self.metrics_url}/metrics", timeout=1) as reply:
            return b"\netcd_server_is_leader 1\n" in reply.read()
        return False

    def kill(self) -> None:
        """kill -9."""
        assert self.process is not None
        self.process.kill()
        self.process.wait()

    def pause(self) -> None:
        """SIGSTOP: the machine is up, its sockets accept, nothing answers."""
        assert self.process is not None
        self.process.send_signal(signal.SIGSTOP)
        # Its threads stop one after the other, and until then one of them may still answer.
        wait_until(partial(stands_still, self.process.pid), f"{self.name} stands still")

    def resume(self) -> None:
        """SIGCONT."""
        assert self.process is not None
        self.process.send_signal(signal.SIGCONT)

    def stop(self) -> None:
        """End the process, in whatever state it is."""
        if self.process is not None and self.process.poll() is None:
            self.kill()

    def wipe(self) -> None:
        """Delete the data of the stopped process: its next start begins from nothing."""
        shutil.rmtree(self.directory / "data")

    def api(self, path: str, body: dict[str, Any] | None = None, token: str = "") -> dict[str, Any]:
        """Call etcd's JSON gateway, for example ``api("kv/compaction", {"revision": 7})``."""
        request = urllib.request.Request(f"{self.client_url}/v3/{path}", data=json.dumps(body or {}).encode())
        if token:
            request.add_header("Authorization", token)
        with urllib.request.urlopen(request, timeout=10) as reply:
            answer: dict[str, Any] = json.load(reply)
            return answer

    def _arguments(self) -> list[str]:
        return [
            *("--name", self.name, "--data-dir", str(self.directory / "data"), "--log-level", "warn"),
            *("--listen-client-urls", self.client_url, "--advertise-client-urls", self.client_url),
            *("--listen-peer-urls", self.peer_url, "--initial-advertise-peer-urls", self.peer_url),
            *("--initial-cluster", self.cluster, "--listen-metrics-urls", self.metrics_url),
        ]


@contextmanager
def running(directory: Path, **settings: Any) -> Iterator[EtcdServer]:
    """One started etcd, ended at the end of the block."""
    server = EtcdServer(directory, **settings)
    try:
        server.start()
        yield server
    finally:
        server.stop()


@contextmanager
def cluster(directory: Path, size: int = 3, **settings: Any) -> Iterator[list[EtcdServer]]:
    """A started cluster, ended at the end of the block."""
    servers = [EtcdServer(directory / f"node{i}", name=f"node{i}", **settings) for i in range(size)]
    with together(servers):
        yield servers


@contextmanager
def together(servers: Sequence[EtcdServer]) -> Iterator[None]:
    """Starts these as one cluster, and ends them at the end of the block."""
    for server in servers:
        server.cluster = ",".join(f"{member.name}={member.peer_url}" for member in servers)
    try:
        for server in servers:
            server.launch()
        for server in servers:
            server.wait_healthy()
        yield
    finally:
        for server in servers:
            server.stop()
