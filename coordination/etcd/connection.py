"""The asyncio connection: performs the steps of ``calls`` on ``grpc.aio`` channels, and opens watch streams."""

import asyncio
from collections.abc import Generator
from typing import Any

from grpc import aio

from coordination.etcd import etcd_pb2 as pb
from coordination.etcd.calls import (
    STATUS,
    WATCH,
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


class AsyncConnection:
    """One channel for each endpoint, made when it is first needed, in the running event loop."""

    def __init__(self, session: Session) -> None:
        self.session = session
        self.closed = False
        self._credentials = credentials(session.settings)
        self._channels: dict[int, aio.Channel] = {}
        self._signing_in = asyncio.Lock()

    async def run(self, plan: Generator[Step, Any, Any]) -> Any:
        """Perform the plan's steps until it returns."""
        try:
            step = next(plan)
            while True:
                try:
                    result = await self._perform(step)
                except Failure as failure:
                    step = plan.throw(failure)
                else:
                    step = plan.send(result)
        except StopIteration as stop:
            return stop.value

    def open_watch(self, endpoint: int, token: str) -> aio.StreamStreamCall:
        """A stream on which watches can be created. ``hasleader`` makes a member without a leader end it."""
        method = self._channel(endpoint).stream_stream(
            WATCH.path,
            request_serializer=pb.WatchRequest.SerializeToString,
            response_deserializer=WATCH.reply.FromString,
        )
        return method(metadata=(("hasleader", "true"), *metadata(token)))

    async def sign_in(self, stale: str, timeout: float) -> None:
        """Get a new token, unless another call did since it was ``stale``."""
        deadline = self.session.clock() + timeout
        try:
            async with asyncio.timeout(timeout):
                await self._signing_in.acquire()
        except TimeoutError:
            raise sign_in_timed_out(str(self.session.ring)) from None
        try:
            if self.session.token == stale:
                self.session.token = await self.run(authenticate(self.session, self.session.left(deadline)))
        finally:
            self._signing_in.release()

    async def close(self) -> None:
        """Close every channel; calls under way fail with Unavailable."""
        self.closed = True
        channels = tuple(self._channels.values())
        self._channels.clear()
        await asyncio.gather(*(channel.close() for channel in channels))

    async def _perform(self, step: Step) -> Any:
        if self.closed:
            raise closed()
        match step:
            case Connect():
                return await self._connect(step)
            case SignIn(stale, seconds):
                return await self.sign_in(stale, seconds)
            case Send():
                return await self._send(step)
            case Pause(seconds):
                return await asyncio.sleep(seconds)

    async def _connect(self, step: Connect) -> int | None:
        greetings = [asyncio.ensure_future(self._greet(endpoint, step.seconds)) for endpoint in step.endpoints]
        try:
            for greeting in asyncio.as_completed(greetings):
                endpoint = await greeting
                if endpoint is not None:
                    return endpoint
            return None
        finally:
            for each in greetings:
                each.cancel()
            await asyncio.gather(*greetings, return_exceptions=True)

    async def _greet(self, endpoint: int, timeout: float) -> int | None:
        """The endpoint if its server answers in time: a connected channel alone may be that of a stopped process."""
        method = self._method(endpoint, STATUS)
        try:
            await method(pb.StatusRequest(), timeout=timeout, wait_for_ready=True)
        except aio.AioRpcError as error:
            return endpoint if is_answer(error.code()) else None
        except asyncio.CancelledError:
            raise_if_cancelled()
            raise closed() from None
        return endpoint

    async def _send(self, step: Send) -> Any:
        method = self._method(step.endpoint, step.method)
        try:
            return await method(step.request, timeout=step.seconds, metadata=metadata(step.token))
        except aio.AioRpcError as error:
            raise failure(error) from None
        except asyncio.CancelledError:
            raise_if_cancelled()
            raise closed() from None

    def _method(self, endpoint: int, method: Method) -> aio.UnaryUnaryMultiCallable:
        return self._channel(endpoint).unary_unary(
            method.path, request_serializer=serialize, response_deserializer=method.reply.FromString
        )

    def _channel(self, endpoint: int) -> aio.Channel:
        if self.closed:
            raise closed()
        if endpoint not in self._channels:
            target = self.session.ring.endpoints[endpoint]
            if self._credentials is None:
                self._channels[endpoint] = aio.insecure_channel(target, options=OPTIONS)
            else:
                self._channels[endpoint] = aio.secure_channel(target, self._credentials, options=OPTIONS)
        return self._channels[endpoint]


def failure(error: aio.AioRpcError) -> Failure:
    """gRPC's error as ours."""
    return Failure(error.code(), error.details() or "")


def raise_if_cancelled() -> None:
    """Called while a CancelledError is handled: raise it again when the running task was cancelled. Otherwise the
    channel was closed under the call, which ``grpc.aio`` reports in the same way."""
    task = asyncio.current_task()
    if task is None or task.cancelling():
        raise
