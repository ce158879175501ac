"""The blocking port, for Django: safe to use from several threads and after a fork."""

import os
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from typing import Any

from coordination.errors import CoordinationError, LeaseLost
from coordination.etcd import etcd_pb2 as pb
from coordination.etcd import requests
from coordination.etcd.blocking_connection import BlockingConnection
from coordination.etcd.calls import (
    GRANT,
    RANGE,
    READ_TRANSACT,
    REVOKE,
    TRANSACT,
    Method,
    authenticate,
    exchange,
)
from coordination.etcd.channel import Session
from coordination.gateway import CALL_TIMEOUT, Compare, EtcdSettings, KeyValue, Lease, Operation, Outcome, Snapshot


class SyncEtcd:
    """``coordination.gateway.SyncGateway`` on etcd.

    Connects when it is first called, and anew in each process: a connection does not survive a fork. ``clock`` gives
    monotonic seconds, for the deadlines.
    """

    def __init__(self, settings: EtcdSettings, *, clock: Callable[[], float] = time.monotonic) -> None:
        self._settings = settings
        self._clock = clock
        self._connections: dict[int, BlockingConnection] = {}

    @property
    def endpoint(self) -> str | None:
        """The endpoint in use, or None while none is known to answer."""
        return self._connection().session.ring.in_use

    def get(self, key: str, *, timeout: float = CALL_TIMEOUT) -> KeyValue | None:
        return requests.first(self.call(RANGE, requests.read(key), timeout))

    def snapshot(self, prefix: str, *, timeout: float = CALL_TIMEOUT) -> Snapshot:
        """As in the port; ``timeout`` is for each page."""
        pages = requests.snapshot(prefix)
        try:
            request = next(pages)
            while True:
                try:
                    page = self.call(RANGE, request, timeout)
                except CoordinationError as error:
                    request = pages.throw(error)
                else:
                    request = pages.send(page)
        except StopIteration as stop:
            result: Snapshot = stop.value
            return result

    def transact(
        self,
        compares: Sequence[Compare],
        then: Sequence[Operation],
        otherwise: Sequence[Operation] = (),
        *,
        timeout: float = CALL_TIMEOUT,
    ) -> Outcome:
        method = TRANSACT if requests.writes((*then, *otherwise)) else READ_TRANSACT
        return requests.outcome(self.call(method, requests.transaction(compares, then, otherwise), timeout))

    def grant(self, ttl: float, *, timeout: float = CALL_TIMEOUT) -> Lease:
        return requests.granted(self.call(GRANT, requests.grant(ttl), timeout))

    def revoke(self, lease: int, *, timeout: float = CALL_TIMEOUT) -> None:
        with suppress(LeaseLost):
            self.call(REVOKE, pb.LeaseRevokeRequest(ID=lease), timeout)

    def close(self) -> None:
        connection = self._connections.pop(os.getpid(), None)
        if connection is not None:
            connection.close()

    def call(self, method: Method, request: Any, timeout: float) -> Any:
        """The reply to one request of etcd's API, for the rest of this package."""
        connection = self._connection()
        return connection.run(exchange(connection.session, method, request, timeout))

    def has_token(self, timeout: float) -> bool:
        """Signs in anew; whether etcd gave a token, which it does only while it has authentication on. For the rest of
        this package."""
        connection = self._connection()
        return bool(connection.run(authenticate(connection.session, timeout)))

    def _connection(self) -> BlockingConnection:
        # No lock: another thread could hold it while this process is forked. The parent's connections are left alone,
        # closing them here would disturb the parent.
        pid = os.getpid()
        if pid not in self._connections:
            self._connections.setdefault(pid, BlockingConnection(Session(self._settings, self._clock)))
        return self._connections[pid]
