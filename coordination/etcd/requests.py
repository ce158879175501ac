"""Requests built and replies parsed: no connection, shared by the asyncio and the blocking client."""

import math
from collections.abc import Generator, Sequence

from coordination.errors import Compacted, LeaseLost, LimitExceeded, Unavailable
from coordination.etcd import etcd_pb2 as pb
from coordination.gateway import Compare, Delete, Get, KeyValue, Lease, Operation, Outcome, Put, Snapshot

PAGE = 1000
"""Keys in one page of a snapshot, unless they are so large that a page does not fit into one reply."""

SNAPSHOT_ATTEMPTS = 3
"""How often a snapshot is begun again because its revision was compacted between two pages."""

_OPERATORS = {
    "=": pb.Compare.EQUAL,
    "!=": pb.Compare.NOT_EQUAL,
    ">": pb.Compare.GREATER,
    "<": pb.Compare.LESS,
}
_TARGETS = {
    "version": pb.Compare.VERSION,
    "create_revision": pb.Compare.CREATE,
    "mod_revision": pb.Compare.MOD,
    "value": pb.Compare.VALUE,
    "lease": pb.Compare.LEASE,
}


def encode(key: str) -> bytes:
    """The key as etcd stores it. Keys are text to us, but foreign bytes survive the way there and back."""
    return key.encode("utf-8", "surrogateescape")


def decode(key: bytes) -> str:
    """The opposite of ``encode``."""
    return key.decode("utf-8", "surrogateescape")


def span(prefix: str) -> tuple[bytes, bytes]:
    """The half-open range ``[key, range_end)`` of all keys below the prefix (etcd's API guide, "Key ranges")."""
    start = encode(prefix)
    stem = start.rstrip(b"\xff")
    if not stem:
        return start or b"\0", b"\0"
    return start, stem[:-1] + bytes([stem[-1] + 1])


def read(key: str, prefix: bool = False) -> pb.RangeRequest:
    """Read one key, or every key below a prefix."""
    if not prefix:
        return pb.RangeRequest(key=encode(key))
    start, end = span(key)
    return pb.RangeRequest(key=start, range_end=end)


def revision_now(prefix: str) -> pb.RangeRequest:
    """A linearizable read that moves no data: its header has the store's newest revision."""
    start, end = span(prefix)
    return pb.RangeRequest(key=start, range_end=end, count_only=True)


def item(kv: pb.KeyValue) -> KeyValue:
    """A key as the port describes it."""
    return KeyValue(decode(kv.key), kv.value, kv.create_revision, kv.mod_revision, kv.version, kv.lease)


def first(reply: pb.RangeResponse) -> KeyValue | None:
    """The only key of a read, or None."""
    return item(reply.kvs[0]) if reply.kvs else None


def transaction(
    compares: Sequence[Compare], then: Sequence[Operation], otherwise: Sequence[Operation]
) -> pb.TxnRequest:
    """One transaction."""
    return pb.TxnRequest(
        compare=[_compare(c) for c in compares],
        success=[_operation(o) for o in then],
        failure=[_operation(o) for o in otherwise],
    )


def writes(operations: Sequence[Operation]) -> bool:
    """Whether any of the operations changes something."""
    return any(not isinstance(operation, Get) for operation in operations)


def outcome(reply: pb.TxnResponse) -> Outcome:
    """The answer to a transaction."""
    results = tuple(tuple(item(kv) for kv in response.response_range.kvs) for response in reply.responses)
    return Outcome(reply.succeeded, reply.header.revision, results)


def grant(ttl: float) -> pb.LeaseGrantRequest:
    """A new lease; etcd counts in whole seconds, a fraction is rounded up."""
    return pb.LeaseGrantRequest(TTL=math.ceil(ttl))


def granted(reply: pb.LeaseGrantResponse) -> Lease:
    """A new lease."""
    return Lease(reply.ID, float(reply.TTL))


def renewed(reply: pb.LeaseKeepAliveResponse) -> float:
    """The seconds that a lease now has. Raises LeaseLost when the server no longer knows it (its TTL is 0 then)."""
    if reply.TTL <= 0:
        raise LeaseLost(f"lease {reply.ID:x} has expired or was revoked: take a new one and write its keys again")
    return float(reply.TTL)


def snapshot(prefix: str) -> Generator[pb.RangeRequest, pb.RangeResponse, Snapshot]:
    """Every key below the prefix, in pages at the revision of the first page.

    Yields requests and is sent their replies; failures of a request are thrown in. A page that does not fit into one
    reply is asked for again with fewer keys.
    """
    for _ in range(SNAPSHOT_ATTEMPTS):
        try:
            return (yield from _pages(prefix))
        except Compacted:
            continue
    raise Unavailable(f"reading all of {prefix} takes longer than etcd keeps a revision: compact less often")


def _pages(prefix: str) -> Generator[pb.RangeRequest, pb.RangeResponse, Snapshot]:
    start, end = span(prefix)
    items: list[KeyValue] = []
    revision, limit = 0, PAGE
    while True:
        try:
            page = yield pb.RangeRequest(key=start, range_end=end, limit=limit, revision=revision)
        except LimitExceeded:
            if limit == 1:
                raise
            limit = max(1, limit // 8)
            continue
        revision = revision or page.header.revision
        items.extend(map(item, page.kvs))
        if not page.more:
            return Snapshot(revision, tuple(items))
        start = page.kvs[-1].key + b"\0"


def _compare(compare: Compare) -> pb.Compare:
    message = pb.Compare(key=encode(compare.key), result=_OPERATORS[compare.operator], target=_TARGETS[compare.target])
    setattr(message, compare.target, compare.operand)
    return message


def _operation(operation: Operation) -> pb.RequestOp:
    match operation:
        case Get(key, prefix):
            return pb.RequestOp(request_range=read(key, prefix))
        case Put(key, value, lease):
            return pb.RequestOp(request_put=pb.PutRequest(key=encode(key), value=value, lease=lease))
        case Delete(key, False):
            return pb.RequestOp(request_delete_range=pb.DeleteRangeRequest(key=encode(key)))
        case Delete(key, True):
            start, end = span(key)
            return pb.RequestOp(request_delete_range=pb.DeleteRangeRequest(key=start, range_end=end))
    raise TypeError(f"not an operation: {operation!r}")
