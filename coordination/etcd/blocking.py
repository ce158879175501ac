"""The blocking port, for Django: safe to use from several threads and after a fork."""

import os
import queue
import threading
import time
from collections.abc import Callable, Generator, Sequence
from contextlib import suppress
from typing import Any

import grpc

from coordination.errors import CoordinationError, LeaseLost
from coordination.etcd import etcd_pb2 as pb
from coordination.etcd import requests
from coordination.etcd.calls import (
    GRANT,
    RANGE,
    READ_TRANSACT,
    REVOKE,
    STATUS,
    TRANSACT,
    Connect,
    Method,
    Pause,
    Send,
    SignIn,
    Step,
    authenticate,
    exchange,
)
from coordination.etcd.channel import OPTIONS, Session, credentials
from coordination.etcd.errors import Failure, closed, is_answer
from coordination.gateway import (
    CALL_TIMEOUT,
    Compare,
    EtcdSettings,
    KeyValue,
    Lease,
    Operation,
    Outcome,
    Snapshot,
)


class BlockingConnection:
    """One channel for each endpoint, made when it is first needed, on ``grpc``'s own threads."""

    def __init__(self, session: Session) -> None:
        self.session = session
        self._credentials = credentials(session.settings)
        self._channels: dict[int, grpc.Channel] = {}
        self._lock = threading.Lock()
        self._signing_in = threading.Lock()
        self._closed = False

    def run(self, plan: Generator[Step, Any, Any]) -> Any:
        """Perform the plan's steps until it returns."""
        try:
            step = next(plan)
            while True:
                try:
                    result = self._perform(step)
                except Failure as failure:
                    step = plan.throw(failure)
                else:
                    step = plan.send(result)
        except StopIteration as stop:
            return stop.value

    def close(self) -> None:
        """Close every channel; calls under way fail with Unavailable."""
        with self._lock:
            self._closed = True
            channels = tuple(self._channels.values())
            self._channels.clear()
        for channel in channels:
            channel.close()

    def _perform(self, step: Step) -> Any:
        match step:
            case Connect():
                return self._connect(step)
            case SignIn():
                return self._sign_in(step)
            case Send():
                return self._send(step)
            case Pause(seconds):
                return time.sleep(seconds)

    def _connect(self, step: Connect) -> int | None:
        """The first endpoint whose server answers: a connected channel alone may be that of a stopped process."""
        ended: queue.SimpleQueue[tuple[int, Any]] = queue.SimpleQueue()
        greetings = []
        for endpoint in step.endpoints:
            method = self._method(endpoint, STATUS)
            greeting = method.future(pb.StatusRequest(), timeout=step.seconds, wait_for_ready=True)
            greeting.add_done_callback(lambda call, endpoint=endpoint: ended.put((endpoint, call)))
            greetings.append(greeting)
        try:
            for _ in greetings:
                endpoint, call = ended.get()
                if is_answer(call.code()):
                    return endpoint
            return None
        finally:
            for greeting in greetings:
                greeting.cancel()

    def _sign_in(self, step: SignIn) -> None:
        with self._signing_in:
            if self.session.token == step.stale:
                self.session.token = self.run(authenticate(self.session, step.seconds))

    def _send(self, step: Send) -> Any:
        method = self._method(step.endpoint, step.method)
        metadata = (("token", step.token),) if step.token else ()
        try:
            return method(step.request, timeout=step.seconds, metadata=metadata)
        except grpc.RpcError as error:
            raise Failure(error.code(), error.details() or "") from None
        except ValueError:
            raise closed() from None

    def _method(self, endpoint: int, method: Method) -> grpc.UnaryUnaryMultiCallable:
        return self._channel(endpoint).unary_unary(
            method.path, request_serializer=_serialize, response_deserializer=method.reply.FromString
        )

    def _channel(self, endpoint: int) -> grpc.Channel:
        with self._lock:
            if self._closed:
                raise closed()
            if endpoint not in self._channels:
                target = self.session.ring.endpoints[endpoint]
                if self._credentials is None:
                    self._channels[endpoint] = grpc.insecure_channel(target, options=OPTIONS)
                else:
                    self._channels[endpoint] = grpc.secure_channel(target, self._credentials, options=OPTIONS)
            return self._channels[endpoint]


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
        return requests.first(self._call(RANGE, requests.read(key), timeout))

    def snapshot(self, prefix: str, *, timeout: float = CALL_TIMEOUT) -> Snapshot:
        """As in the port; ``timeout`` is for each page."""
        pages = requests.snapshot(prefix)
        try:
            request = next(pages)
            while True:
                try:
                    page = self._call(RANGE, request, timeout)
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
        return requests.outcome(self._call(method, requests.transaction(compares, then, otherwise), timeout))

    def grant(self, ttl: float, *, timeout: float = CALL_TIMEOUT) -> Lease:
        return requests.granted(self._call(GRANT, requests.grant(ttl), timeout))

    def revoke(self, lease: int, *, timeout: float = CALL_TIMEOUT) -> None:
        with suppress(LeaseLost):
            self._call(REVOKE, pb.LeaseRevokeRequest(ID=lease), timeout)

    def close(self) -> None:
        connection = self._connections.pop(os.getpid(), None)
        if connection is not None:
            connection.close()

    def _call(self, method: Method, request: Any, timeout: float) -> Any:
        connection = self._connection()
        return connection.run(exchange(connection.session, method, request, timeout))

    def _connection(self) -> BlockingConnection:
        # No lock: another thread could hold it while this process is forked. The parent's connections are left alone,
        # closing them here would disturb the parent.
        pid = os.getpid()
        if pid not in self._connections:
            self._connections.setdefault(pid, BlockingConnection(Session(self._settings, self._clock)))
        return self._connections[pid]


def _serialize(message: Any) -> bytes:
    data: bytes = message.SerializeToString()
    return data
