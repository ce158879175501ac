"""gRPC's failures in our own words: each says where it happened and what to do."""

import grpc

from coordination.errors import (
    AlreadyExists,
    AuthenticationFailed,
    Compacted,
    CoordinationError,
    DeadlineExceeded,
    InvalidRequest,
    LeaseLost,
    LimitExceeded,
    NotFound,
    PermissionDenied,
    QuotaExceeded,
    Unavailable,
)


class Failure(Exception):
    """A gRPC call ended with ``code``; never leaves this package."""

    def __init__(self, code: grpc.StatusCode, details: str) -> None:
        super().__init__(f"{code.name}: {details}")
        self.code = code
        self.details = details


_STALE_TOKEN = ("invalid auth token", "user name is empty")
_USERS_CHANGED = ("revision of auth store is old", "revision in header is old")


def is_stale_token(failure: Failure) -> bool:
    """Signing in again may help: the token expired, or is of a time before the last change of etcd's users."""
    is_refused = failure.code is grpc.StatusCode.UNAUTHENTICATED or any(s in failure.details for s in _STALE_TOKEN)
    return is_refused or is_users_changed(failure)


def is_users_changed(failure: Failure) -> bool:
    """etcd's users or roles changed while it handled the request, which it did not carry out."""
    return any(s in failure.details for s in _USERS_CHANGED)


_BY_DETAILS: tuple[tuple[str, type[CoordinationError], str], ...] = (
    ("request is too large", LimitExceeded, "the request is over etcd's limit of 1.5 MB: send less at once"),
    ("too many operations", LimitExceeded, "more than 128 operations in one transaction: split it"),
    ("larger than max", LimitExceeded, "a message is over the size limit: ask for or send less at once"),
    ("database space exceeded", QuotaExceeded, "etcd's database is full: compact and defragment it, disarm its alarm"),
    ("lease not found", LeaseLost, "the lease has expired or was revoked: take a new one and write its keys again"),
    ("permission denied", PermissionDenied, "grant this etcd user a role for these keys"),
    ("invalid user ID or password", AuthenticationFailed, "check the etcd user and password"),
    ("name already exists", AlreadyExists, "there is such a user or role already"),
    ("name not found", NotFound, "there is no such user or role"),
    ("user name is empty", AuthenticationFailed, "etcd has authentication on: set an etcd user and password"),
    ("revision of auth store is old", AuthenticationFailed, "etcd's users were changed meanwhile: try again"),
    ("revision in header is old", AuthenticationFailed, "etcd's users were changed meanwhile: try again"),
    ("not leader", Unavailable, "the etcd cluster is choosing a leader: try again"),
    ("too many requests", Unavailable, "etcd is overloaded: try again later"),
)

_BY_CODE: dict[grpc.StatusCode, tuple[type[CoordinationError], str]] = {
    grpc.StatusCode.DEADLINE_EXCEEDED: (DeadlineExceeded, "no answer in time: check that etcd runs and has a leader"),
    grpc.StatusCode.UNAUTHENTICATED: (AuthenticationFailed, "the token was refused: check the etcd user"),
    grpc.StatusCode.PERMISSION_DENIED: (PermissionDenied, "grant this etcd user a role for these keys"),
    grpc.StatusCode.NOT_FOUND: (InvalidRequest, "what the request names does not exist"),
    grpc.StatusCode.INVALID_ARGUMENT: (InvalidRequest, "the request is malformed"),
    grpc.StatusCode.FAILED_PRECONDITION: (InvalidRequest, "etcd is not in the state that the request needs"),
    grpc.StatusCode.OUT_OF_RANGE: (InvalidRequest, "a value of the request is out of range"),
    grpc.StatusCode.RESOURCE_EXHAUSTED: (LimitExceeded, "the request is over a limit: send less at once"),
    grpc.StatusCode.UNIMPLEMENTED: (InvalidRequest, "is this etcd 3.4 or newer? check the endpoint"),
}


def is_answer(code: grpc.StatusCode) -> bool:
    """Whether a call that ended so has reached a server: refused, not lost."""
    return code in (
        grpc.StatusCode.OK,
        grpc.StatusCode.UNAUTHENTICATED,
        grpc.StatusCode.PERMISSION_DENIED,
        grpc.StatusCode.UNIMPLEMENTED,
        # What etcd says since 3.6, and in later releases of 3.5, to who asks for its status without having signed in:
        # the one to who shows no certificate, the other to who shows one that is made out to none of its users.
        grpc.StatusCode.INVALID_ARGUMENT,
        grpc.StatusCode.FAILED_PRECONDITION,
    )


def translate(failure: Failure, where: str) -> CoordinationError:
    """The failure as one of ours. ``where`` names the endpoint or endpoints. Codes that leave open what happened at
    the server (UNAVAILABLE, INTERNAL, UNKNOWN, CANCELLED ...) become Unavailable, which is ambiguous for a write."""
    if "required revision has been compacted" in failure.details:
        return Compacted(0)
    for text, kind, hint in _BY_DETAILS:
        if text in failure.details:
            return kind(_sentence(where, hint, failure))
    kind, hint = _BY_CODE.get(failure.code, (Unavailable, "check that etcd runs and can be reached"))
    return kind(_sentence(where, hint, failure))


def unreachable(where: str, failure: Failure) -> Unavailable:
    """No endpoint could be connected to; nothing was sent."""
    return Unavailable(
        _sentence(where, "cannot connect: check that etcd runs, and the endpoints, TLS files and firewall", failure)
    )


def sign_in_timed_out(where: str) -> DeadlineExceeded:
    """Another call of the same client was signing in for all of this call's time."""
    return DeadlineExceeded(f"etcd at {where}: no answer to the sign-in: check that etcd runs and has a leader")


def closed() -> Unavailable:
    """The client was used after ``close``."""
    return Unavailable("this etcd client was closed: make a new one")


def _sentence(where: str, hint: str, failure: Failure) -> str:
    return f"etcd at {where}: {hint} ({failure})"
