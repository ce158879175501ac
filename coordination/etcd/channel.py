"""How a connection to one etcd endpoint is made, and which endpoint is used next."""

import threading
from collections.abc import Callable
from pathlib import Path

import grpc

from coordination.errors import InvalidRequest
from coordination.gateway import EtcdSettings

MAX_REPLY = 64 * 1024 * 1024
"""Bytes of the largest reply that is accepted."""

OPTIONS: tuple[tuple[str, int], ...] = (
    # A dead peer is noticed 15 s after its last sign of life while a call is open. `keepalive_timeout_ms` does nothing
    # in grpcio 1.85, `ping_timeout_ms` does; pings without an open call would earn a GOAWAY from etcd.
    ("grpc.keepalive_time_ms", 10_000),
    ("grpc.http2.ping_timeout_ms", 5_000),
    ("grpc.http2.max_pings_without_data", 0),
    ("grpc.keepalive_permit_without_calls", 0),
    ("grpc.max_receive_message_length", MAX_REPLY),
    ("grpc.max_reconnect_backoff_ms", 3_000),
    # One TCP connection per client: a shared one would be carried over a fork.
    ("grpc.use_local_subchannel_pool", 1),
    # etcd is never behind the proxy that `http_proxy` names.
    ("grpc.enable_http_proxy", 0),
)


def credentials(settings: EtcdSettings) -> grpc.ChannelCredentials | None:
    """TLS credentials, or None for plain TCP. Raises InvalidRequest when a file cannot be read."""
    if not settings.ca:
        if settings.certificate or settings.key:
            raise InvalidRequest("an etcd client certificate needs the CA certificate as well: set the CA's file")
        return None
    try:
        return grpc.ssl_channel_credentials(
            root_certificates=Path(settings.ca).read_bytes(),
            private_key=Path(settings.key).read_bytes() if settings.key else None,
            certificate_chain=Path(settings.certificate).read_bytes() if settings.certificate else None,
        )
    except OSError as error:
        raise InvalidRequest(f"cannot read a TLS file for etcd: {error}; check its path and its owner") from error


class Ring:
    """Which of the endpoints is in use, and which ones failed lately. Pure, and safe to use from several threads."""

    def __init__(self, endpoints: tuple[str, ...]) -> None:
        if not endpoints:
            raise InvalidRequest("no etcd endpoint is configured: name at least one as host:port")
        self.endpoints = endpoints
        self._current: int | None = None
        self._suspects: set[int] = set()
        self._lock = threading.Lock()

    def __str__(self) -> str:
        return ", ".join(self.endpoints)

    @property
    def current(self) -> int | None:
        """The position of the endpoint that answered last, or None when one has to be found."""
        return self._current

    @property
    def in_use(self) -> str | None:
        """The name of ``current``."""
        current = self._current
        return None if current is None else self.endpoints[current]

    def candidates(self) -> tuple[int, ...]:
        """The endpoints worth trying, in order: those that did not fail lately."""
        with self._lock:
            return tuple(i for i in range(len(self.endpoints)) if i not in self._suspects)

    def chosen(self, endpoint: int) -> None:
        """This endpoint is connected: use it until it fails."""
        with self._lock:
            self._current = endpoint
            self._suspects.discard(endpoint)

    def failed(self, endpoint: int) -> None:
        """This endpoint did not answer. When all have failed, all are worth trying again."""
        with self._lock:
            if self._current == endpoint:
                self._current = None
            self._suspects.add(endpoint)
            if len(self._suspects) == len(self.endpoints):
                self._suspects.clear()

    def forgive(self) -> bool:
        """Make every endpoint a candidate again. True when that changed anything."""
        with self._lock:
            changed = bool(self._suspects)
            self._suspects.clear()
            return changed


class Session:
    """What the calls of one client share: settings, the ring of endpoints, the token and a clock (seconds)."""

    def __init__(self, settings: EtcdSettings, clock: Callable[[], float]) -> None:
        self.settings = settings
        self.ring = Ring(settings.endpoints)
        self.clock = clock
        self.token = ""

    def no_answer(self, token: str) -> None:
        """A request with this token was not answered in time: the next one has another.

        A simple token names the Raft index of its making, and etcd keeps whoever shows one waiting, without a word,
        until its own index has come so far (``isValidSimpleToken`` in etcd's auth/simple_token.go). In an etcd that
        was started empty that may be never.
        """
        if self.token == token:
            self.token = ""

    def left(self, deadline: float) -> float:
        """Seconds until the deadline; never zero, which gRPC would take for none."""
        return max(deadline - self.clock(), 0.001)
