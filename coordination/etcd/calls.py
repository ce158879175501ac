"""One call to etcd, from finding an endpoint to its answer, without any input or output.

``exchange`` is a generator: it yields the steps that a client has to perform (connect, sign in, send, pause) and is
sent their results, so that the asyncio and the blocking client share every decision about deadlines, endpoints,
tokens and repetition.
"""

from collections.abc import Generator
from dataclasses import dataclass
from typing import Any

import grpc

from coordination.errors import DeadlineExceeded, Unavailable
from coordination.etcd import etcd_pb2 as pb
from coordination.etcd.channel import Session
from coordination.etcd.errors import Failure, is_stale_token, is_users_changed, translate, unreachable

REPEAT_AFTER = 0.1
"""Seconds before a call that failed at every endpoint is sent again."""

PROBE_TIMEOUT = 0.1
"""Seconds spent on learning why a connection failed."""


@dataclass(frozen=True, slots=True)
class Method:
    """A method of etcd's gRPC API. ``repeatable``: sending it twice does no harm, so an answer that got lost is
    asked for again."""

    path: str
    reply: Any
    repeatable: bool = True


RANGE = Method("/etcdserverpb.KV/Range", pb.RangeResponse)
TRANSACT = Method("/etcdserverpb.KV/Txn", pb.TxnResponse, repeatable=False)
READ_TRANSACT = Method("/etcdserverpb.KV/Txn", pb.TxnResponse)
GRANT = Method("/etcdserverpb.Lease/LeaseGrant", pb.LeaseGrantResponse)
REVOKE = Method("/etcdserverpb.Lease/LeaseRevoke", pb.LeaseRevokeResponse)
# A stream in etcd's definition. Sent as a single message with the half-close behind it, it is answered by a single
# message and the status: a unary call on the wire, with a deadline over all of it.
KEEP_ALIVE = Method("/etcdserverpb.Lease/LeaseKeepAlive", pb.LeaseKeepAliveResponse)
AUTHENTICATE = Method("/etcdserverpb.Auth/Authenticate", pb.AuthenticateResponse)
AUTH_ENABLE = Method("/etcdserverpb.Auth/AuthEnable", pb.AuthEnableResponse)
USER_ADD = Method("/etcdserverpb.Auth/UserAdd", pb.AuthUserAddResponse)
USER_GET = Method("/etcdserverpb.Auth/UserGet", pb.AuthUserGetResponse)
USER_LIST = Method("/etcdserverpb.Auth/UserList", pb.AuthUserListResponse)
USER_DELETE = Method("/etcdserverpb.Auth/UserDelete", pb.AuthUserDeleteResponse)
USER_PASSWORD = Method("/etcdserverpb.Auth/UserChangePassword", pb.AuthUserChangePasswordResponse)
USER_GRANT = Method("/etcdserverpb.Auth/UserGrantRole", pb.AuthUserGrantRoleResponse)
ROLE_ADD = Method("/etcdserverpb.Auth/RoleAdd", pb.AuthRoleAddResponse)
ROLE_GET = Method("/etcdserverpb.Auth/RoleGet", pb.AuthRoleGetResponse)
ROLE_DELETE = Method("/etcdserverpb.Auth/RoleDelete", pb.AuthRoleDeleteResponse)
ROLE_GRANT = Method("/etcdserverpb.Auth/RoleGrantPermission", pb.AuthRoleGrantPermissionResponse)
ROLE_REVOKE = Method("/etcdserverpb.Auth/RoleRevokePermission", pb.AuthRoleRevokePermissionResponse)
STATUS = Method("/etcdserverpb.Maintenance/Status", pb.StatusResponse)
WATCH = Method("/etcdserverpb.Watch/Watch", pb.WatchResponse)


@dataclass(frozen=True, slots=True)
class Connect:
    """Connect to any of the endpoints within ``seconds``. Result: the first that is ready, or None."""

    endpoints: tuple[int, ...]
    seconds: float


@dataclass(frozen=True, slots=True)
class SignIn:
    """Replace the session's token unless somebody did since it was ``stale``. Result: None."""

    stale: str
    seconds: float


@dataclass(frozen=True, slots=True)
class Send:
    """Send a request. Result: the reply. A gRPC error is thrown in as ``Failure``."""

    endpoint: int
    method: Method
    request: Any
    seconds: float
    token: str


@dataclass(frozen=True, slots=True)
class Pause:
    """Wait. Result: None."""

    seconds: float


Step = Connect | SignIn | Send | Pause


def exchange(session: Session, method: Method, request: Any, timeout: float) -> Generator[Step, Any, Any]:
    """The reply to one request, or one of ``coordination.errors``. ``timeout`` is for all of it, in seconds."""
    deadline = session.clock() + timeout
    refusals = 0
    while True:
        endpoint, token = yield from prepare(session, deadline)
        left = session.left(deadline)
        seconds = share(session, left) if method.repeatable else left
        try:
            reply = yield Send(endpoint, method, request, seconds, token)
        except Failure as failure:
            error = translate(failure, session.ring.endpoints[endpoint])
            if isinstance(error, DeadlineExceeded):
                session.no_answer(token)
            if session.settings.user and _may_sign_in(session, failure, refusals, deadline):
                refusals += 1
                yield from _after_refusal(session, failure, token, refusals, deadline)
                continue
            if not isinstance(error, Unavailable):
                raise error from None
            session.ring.failed(endpoint)
            if not method.repeatable or session.left(deadline) <= REPEAT_AFTER:
                raise error from None
            yield Pause(REPEAT_AFTER)
            continue
        session.ring.chosen(endpoint)
        return reply


def _may_sign_in(session: Session, failure: Failure, refusals: int, deadline: float) -> bool:
    """Whether a request that was refused so, and ``refusals`` times before, is sent again."""
    if is_users_changed(failure):
        return session.left(deadline) > REPEAT_AFTER
    return is_stale_token(failure) and not refusals


def _after_refusal(
    session: Session, failure: Failure, token: str, refusals: int, deadline: float
) -> Generator[Step, Any, None]:
    """A new token. A simple one outlives a change of etcd's users, a JWT does not: after such a change every second
    attempt has the old one, without the cost of a new one. Whoever adds users changes them several times in a row."""
    if not is_users_changed(failure) or refusals % 2 == 0:
        yield SignIn(token, session.left(deadline))
    elif refusals > 1:
        yield Pause(REPEAT_AFTER)


def prepare(session: Session, deadline: float) -> Generator[Step, Any, tuple[int, str]]:
    """A connected endpoint, and a token when the settings name a user (else an empty one)."""
    endpoint = yield from _connect(session, deadline)
    if session.settings.user and not session.token:
        yield SignIn("", session.left(deadline))
    return endpoint, session.token


def authenticate(session: Session, timeout: float) -> Generator[Step, Any, str]:
    """A new token. Empty when etcd has authentication off: then none is needed."""
    deadline = session.clock() + timeout
    request = pb.AuthenticateRequest(name=session.settings.user, password=session.settings.password)
    while True:
        endpoint = yield from _connect(session, deadline)
        try:
            reply = yield Send(endpoint, AUTHENTICATE, request, share(session, session.left(deadline)), "")
        except Failure as failure:
            if "authentication is not enabled" in failure.details:
                return ""
            error = translate(failure, session.ring.endpoints[endpoint])
            if isinstance(error, Unavailable) and session.left(deadline) > REPEAT_AFTER:
                session.ring.failed(endpoint)
                yield Pause(REPEAT_AFTER)
                continue
            raise error from None
        token: str = reply.token
        return token


def metadata(token: str) -> tuple[tuple[str, str], ...]:
    """What goes with a request of a signed-in user."""
    return (("token", token),) if token else ()


def serialize(message: Any) -> bytes:
    """Any message as bytes."""
    data: bytes = message.SerializeToString()
    return data


def share(session: Session, left: float) -> float:
    """Seconds for one attempt of something that can be repeated: it leaves time for the other endpoints."""
    return left / len(session.ring.candidates())


def _connect(session: Session, deadline: float) -> Generator[Step, Any, int]:
    """The endpoint in use, else the first that can be connected to. Endpoints that failed lately come last."""
    ring = session.ring
    if ring.current is not None:
        return ring.current
    tried = ring.candidates()
    for last in (len(tried) == len(ring.endpoints), True):
        left = session.left(deadline)
        chosen: int | None = yield Connect(ring.candidates(), left if last else left / 2)
        if chosen is not None:
            ring.chosen(chosen)
            return chosen
        if last:
            break
        ring.forgive()
    raise unreachable(str(ring), (yield from _reason(session, tried[0])))


def _reason(session: Session, endpoint: int) -> Generator[Step, Any, Failure]:
    """Why a connection failed: a call says so, the state of a channel does not."""
    try:
        yield Send(endpoint, STATUS, pb.StatusRequest(), PROBE_TIMEOUT, "")
    except Failure as failure:
        return failure
    return Failure(grpc.StatusCode.UNAVAILABLE, "the connection came too late")
