"""Every failure of the coordination store, in our own words.

No caller outside ``coordination.etcd`` ever sees a gRPC exception; the adapters map theirs to these.
"""


class CoordinationError(Exception):
    """Base of all failures of the coordination store."""


class Unavailable(CoordinationError):
    """No endpoint answered. A write may or may not have been applied: repeat the same compare-and-set."""


class DeadlineExceeded(Unavailable):
    """The deadline of the call passed without an answer. Ambiguous for writes, as ``Unavailable``."""


class Compacted(CoordinationError):
    """The revision asked for is gone: take a new snapshot and watch from its revision + 1."""

    def __init__(self, compact_revision: int) -> None:
        super().__init__(f"history before revision {compact_revision} is compacted: take a new snapshot")
        self.compact_revision = compact_revision


class AuthenticationFailed(CoordinationError):
    """User or password were refused, or the token is not valid and signing in again did not help."""


class PermissionDenied(CoordinationError):
    """The signed-in user has no permission for this key range."""


class LeaseLost(CoordinationError):
    """The lease has expired, was revoked or never existed."""


class LimitExceeded(CoordinationError):
    """The request is larger than etcd takes (1.5 MB a request, 128 operations a transaction)."""


class QuotaExceeded(CoordinationError):
    """The etcd database has reached its quota (NOSPACE alarm): compact and defragment it, or raise the quota."""


class InvalidRequest(CoordinationError):
    """etcd refused the request as malformed; repeating it does not help."""


class AlreadyExists(InvalidRequest):
    """The user or role to be made is there."""


class NotFound(InvalidRequest):
    """The user or role to be read, changed or deleted is not there."""
