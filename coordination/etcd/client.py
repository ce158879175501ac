"""The port over asyncio, for workers and the master."""

import time
from collections.abc import AsyncGenerator, Callable, Sequence
from contextlib import suppress
from typing import Any

from coordination.errors import CoordinationError, InvalidRequest, LeaseLost
from coordination.etcd import etcd_pb2 as pb
from coordination.etcd import requests
from coordination.etcd.calls import GRANT, KEEP_ALIVE, RANGE, READ_TRANSACT, REVOKE, TRANSACT, Method, exchange
from coordination.etcd.channel import Session
from coordination.etcd.connection import AsyncConnection
from coordination.etcd.watch import follow
from coordination.etcd.watch_state import WatchState
from coordination.gateway import (
    CALL_TIMEOUT,
    Batch,
    Compare,
    EtcdSettings,
    KeyValue,
    Lease,
    Operation,
    Outcome,
    Snapshot,
)


class AsyncEtcd:
    """``coordination.gateway.Gateway`` on etcd. Belongs to the event loop that uses it first.

    Raises InvalidRequest at once when the settings cannot be used; connects when it is first called. ``clock`` gives
    monotonic seconds, for the deadlines.
    """

    def __init__(self, settings: EtcdSettings, *, clock: Callable[[], float] = time.monotonic) -> None:
        self._session = Session(settings, clock)
        self._connection = AsyncConnection(self._session)

    @property
    def endpoint(self) -> str | None:
        """The endpoint in use, or None while none is known to answer."""
        return self._session.ring.in_use

    async def get(self, key: str, *, timeout: float = CALL_TIMEOUT) -> KeyValue | None:
        return requests.first(await self._call(RANGE, requests.read(key), timeout))

    async def snapshot(self, prefix: str, *, timeout: float = CALL_TIMEOUT) -> Snapshot:
        """As in the port; ``timeout`` is for each page."""
        pages = requests.snapshot(prefix)
        try:
            request = next(pages)
            while True:
                try:
                    page = await self._call(RANGE, request, timeout)
                except CoordinationError as error:
                    request = pages.throw(error)
                else:
                    request = pages.send(page)
        except StopIteration as stop:
            result: Snapshot = stop.value
            return result

    async def transact(
        self,
        compares: Sequence[Compare],
        then: Sequence[Operation],
        otherwise: Sequence[Operation] = (),
        *,
        timeout: float = CALL_TIMEOUT,
    ) -> Outcome:
        method = TRANSACT if requests.writes((*then, *otherwise)) else READ_TRANSACT
        request = requests.transaction(compares, then, otherwise)
        return requests.outcome(await self._call(method, request, timeout))

    def watch(self, prefix: str, start_revision: int) -> AsyncGenerator[Batch, None]:
        if start_revision < 1:
            raise InvalidRequest("a watch starts from a revision: take a snapshot and add 1 to its revision")
        return follow(self._connection, WatchState(prefix, start_revision))

    async def grant(self, ttl: float, *, timeout: float = CALL_TIMEOUT) -> Lease:
        return requests.granted(await self._call(GRANT, requests.grant(ttl), timeout))

    async def keep_alive(self, lease: int, *, timeout: float = CALL_TIMEOUT) -> float:
        return requests.renewed(await self._call(KEEP_ALIVE, pb.LeaseKeepAliveRequest(ID=lease), timeout))

    async def revoke(self, lease: int, *, timeout: float = CALL_TIMEOUT) -> None:
        with suppress(LeaseLost):
            await self._call(REVOKE, pb.LeaseRevokeRequest(ID=lease), timeout)

    async def close(self) -> None:
        await self._connection.close()

    async def _call(self, method: Method, request: Any, timeout: float) -> Any:
        return await self._connection.run(exchange(self._session, method, request, timeout))
