"""The blocking connection: performs the steps of ``calls`` on ``grpc`` channels; safe to use from several threads."""

import queue
import threading
import time
from collections.abc import Generator
from typing import Any

import grpc

from coordination.etcd import etcd_pb2 as pb
from coordination.etcd.calls import (
    STATUS,
    Connect,
    Method,
    Pause,
    Send,
    SignIn,
    Step,
    authenticate,
    metadata,
    serialize,
)
from coordination.etcd.channel import OPTIONS, Session, credentials
from coordination.etcd.errors import Failure, closed, is_answer, sign_in_timed_out


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
        try:
            match step:
                case Connect():
                    return self._connect(step)
                case SignIn(stale, seconds):
                    return self._sign_in(stale, seconds)
                case Send():
                    return self._send(step)
                case Pause(seconds):
                    return time.sleep(seconds)
        except ValueError:
            # What gRPC raises for a channel that was closed in the middle.
            if not self._closed:
                raise
            raise closed() from None

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

    def _sign_in(self, stale: str, timeout: float) -> None:
        """Get a new token, unless another call did since it was ``stale``."""
        deadline = self.session.clock() + timeout
        if not self._signing_in.acquire(timeout=timeout):
            raise sign_in_timed_out(str(self.session.ring))
        try:
            if self.session.token == stale:
                self.session.token = self.run(authenticate(self.session, self.session.left(deadline)))
        finally:
            self._signing_in.release()

    def _send(self, step: Send) -> Any:
        method = self._method(step.endpoint, step.method)
        try:
            return method(step.request, timeout=step.seconds, metadata=metadata(step.token))
        except grpc.RpcError as error:
            raise Failure(error.code(), error.details() or "") from None

    def _method(self, endpoint: int, method: Method) -> grpc.UnaryUnaryMultiCallable:
        return self._channel(endpoint).unary_unary(
            method.path, request_serializer=serialize, response_deserializer=method.reply.FromString
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
