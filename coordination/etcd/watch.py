"""One watch over the asyncio connection: created, followed, found dead, created again."""

import asyncio
from collections.abc import AsyncGenerator

import grpc
from grpc import aio

from coordination.errors import Compacted, DeadlineExceeded, Unavailable
from coordination.etcd import etcd_pb2 as pb
from coordination.etcd.calls import RANGE, REPEAT_AFTER, exchange, prepare, share
from coordination.etcd.connection import AsyncConnection, failure, raise_if_cancelled
from coordination.etcd.errors import Failure, closed, is_stale_token, translate
from coordination.etcd.requests import revision_now
from coordination.etcd.watch_state import PROGRESS_REQUEST, Refused, WatchState
from coordination.gateway import CALL_TIMEOUT, Batch

QUIET = 4.0
"""Seconds without a message after which a stream is asked for a sign of life."""

PROBES = 5
"""How often it is asked, a second apart, before it counts as dead. etcd from 3.4.25 on answers only while every
watch of the stream has caught up, so that one unanswered question means nothing."""


class Stream:
    """One gRPC stream with one watch on it."""

    def __init__(self, connection: AsyncConnection, endpoint: int, token: str) -> None:
        self.endpoint = endpoint
        self._call = connection.open_watch(endpoint, token)

    async def create(self, request: pb.WatchRequest, timeout: float) -> pb.WatchResponse:
        """Send the request; the first reply. Raises Failure."""
        try:
            async with asyncio.timeout(timeout):
                await self._write(request)
                return await self._read()
        except TimeoutError:
            raise Failure(grpc.StatusCode.DEADLINE_EXCEEDED, "no answer to the request for a watch") from None

    async def receive(self) -> pb.WatchResponse:
        """The next reply, however long it takes, as long as the server shows signs of life. Raises Failure."""
        # Cancelling a read would cancel the stream, so one read goes on behind all the waiting.
        reading = asyncio.ensure_future(self._read())
        try:
            for wait in (QUIET, *[1.0] * PROBES):
                done, _ = await asyncio.wait({reading}, timeout=wait)
                if done:
                    return reading.result()
                async with asyncio.timeout(1.0):
                    await self._write(PROGRESS_REQUEST)
        except TimeoutError:
            pass
        finally:
            reading.cancel()
            await asyncio.gather(reading, return_exceptions=True)
        raise Failure(grpc.StatusCode.UNAVAILABLE, "the watch stream is dead: no sign of life from the server")

    def cancel(self) -> None:
        """End the stream, and with it the watch at the server."""
        self._call.cancel()

    async def _write(self, request: pb.WatchRequest) -> None:
        try:
            await self._call.write(request)
        except aio.AioRpcError as error:
            raise failure(error) from None
        except asyncio.InvalidStateError:
            raise Failure(grpc.StatusCode.UNAVAILABLE, "the watch stream has ended") from None
        except asyncio.CancelledError:
            raise_if_cancelled()
            raise closed() from None

    async def _read(self) -> pb.WatchResponse:
        try:
            reply: pb.WatchResponse = await self._call.read()
        except aio.AioRpcError as error:
            raise failure(error) from None
        except asyncio.CancelledError:
            raise_if_cancelled()
            raise closed() from None
        if reply is aio.EOF:
            raise Failure(grpc.StatusCode.UNAVAILABLE, "the server ended the watch stream")
        return reply


async def follow(connection: AsyncConnection, state: WatchState) -> AsyncGenerator[Batch, None]:
    """The batches of one watch, for ever; ends only when the client is closed.

    Each time the server has confirmed the watch, anew or again, a batch says so. Raises Compacted,
    AuthenticationFailed, PermissionDenied, InvalidRequest, or Unavailable when the watch could not be created for
    CALL_TIMEOUT seconds.
    """
    while not connection.closed:
        try:
            stream = await _create(connection, state)
            try:
                yield Batch(state.next_revision - 1, (), confirmed=True)
                while True:
                    batch = state.receive(await stream.receive())
                    if batch is not None:
                        yield batch
            except Failure:
                connection.session.ring.failed(stream.endpoint)
            finally:
                stream.cancel()
        except Unavailable:
            if not connection.closed:
                raise
        await asyncio.sleep(REPEAT_AFTER)


async def _create(connection: AsyncConnection, state: WatchState) -> Stream:
    """A stream whose watch the server has confirmed, within CALL_TIMEOUT seconds."""
    session = connection.session
    deadline = session.clock() + CALL_TIMEOUT
    may_sign_in = bool(session.settings.user)
    while True:
        endpoint, token = await connection.run(prepare(session, deadline))
        stream = Stream(connection, endpoint, token)
        try:
            await _confirm(connection, state, stream, deadline)
            return stream
        except BaseException as problem:
            stream.cancel()
            if not isinstance(problem, Failure):
                raise
            left = session.left(deadline)
            if may_sign_in and (isinstance(problem, Refused) or is_stale_token(problem)):
                may_sign_in = False
                await connection.sign_in(token, left)
                continue
            error = translate(problem, session.ring.endpoints[endpoint])
            if not isinstance(error, Unavailable):
                raise error from None
            if isinstance(error, DeadlineExceeded):
                session.no_answer(token)
            session.ring.failed(endpoint)
            if left <= REPEAT_AFTER:
                raise error from None
            await asyncio.sleep(REPEAT_AFTER)


async def _confirm(connection: AsyncConnection, state: WatchState, stream: Stream, deadline: float) -> None:
    """Create the watch on the stream. A store that has not seen what this watch has seen already was emptied or
    restored, unless only the member lags: a linearizable read tells. Then a new snapshot is needed, as after a
    compaction; without this check the watch would wait in silence for a revision that is far away."""
    session = connection.session
    reply = await stream.create(state.request(), share(session, session.left(deadline)))
    if state.created(reply):
        return
    reading = exchange(session, RANGE, revision_now(state.prefix), session.left(deadline))
    newest = await connection.run(reading)
    if state.is_ahead_of(newest.header):
        raise Compacted(newest.header.revision + 1)
