"""The state of one watch, without any input or output: what to ask for, and what a reply means."""

import grpc

from coordination.errors import Compacted
from coordination.etcd import etcd_pb2 as pb
from coordination.etcd.errors import Failure
from coordination.etcd.requests import item, span
from coordination.gateway import Batch, Event

PROGRESS_REQUEST = pb.WatchRequest(progress_request=pb.WatchProgressRequest())
"""Asks for a sign of life."""


class Refused(Failure):
    """The server would not create the watch: the token is not valid any more, or the user has no permission. etcd 3.4
    says "permission denied" in both cases."""


class WatchState:
    """Where one watch has got to.

    It resumes behind the last event that was handed on. A revision in a reply's header says nothing about that, since
    the server may be ahead of what it has sent to this watch; only a progress notification for the watch itself does.
    """

    def __init__(self, prefix: str, start_revision: int) -> None:
        self.prefix = prefix
        self.next_revision = start_revision
        self._term = 0
        self._partial: list[Event] = []

    def request(self) -> pb.WatchRequest:
        """Create the watch, now or again. Half of a revision that arrived before is dropped: it comes again."""
        self._partial.clear()
        start, end = span(self.prefix)
        return pb.WatchRequest(
            create_request=pb.WatchCreateRequest(
                key=start, range_end=end, start_revision=self.next_revision, progress_notify=True, fragment=True
            )
        )

    def created(self, reply: pb.WatchResponse) -> bool:
        """Take the first reply. False when the store looks younger than what this watch has seen: the member lags,
        or etcd came back without its data. Raises Failure or Compacted when the watch was not created."""
        _raise_if_canceled(reply)
        return not self.is_ahead_of(reply.header)

    def is_ahead_of(self, header: pb.ResponseHeader) -> bool:
        """Whether this watch has seen a later state than the header's."""
        ahead = header.revision < self.next_revision - 1 or header.raft_term < self._term
        if not ahead:
            self._term = header.raft_term
        return ahead

    def receive(self, reply: pb.WatchResponse) -> Batch | None:
        """The batch that a later reply completes, if any. Raises Compacted, or Failure when the watch has ended."""
        _raise_if_canceled(reply)
        if reply.watch_id < 0:
            # The answer to a progress request is a sign of life only: before etcd 3.4.25 it may overtake events.
            return None
        self._partial.extend(map(_event, reply.events))
        if reply.fragment:
            return None
        events = tuple(self._partial)
        self._partial.clear()
        revision = events[-1].item.mod_revision if events else reply.header.revision
        self.next_revision = max(self.next_revision, revision + 1)
        return Batch(revision, events)


def _raise_if_canceled(reply: pb.WatchResponse) -> None:
    if not reply.canceled:
        return
    if reply.compact_revision:
        raise Compacted(reply.compact_revision)
    if reply.created:
        raise Refused(grpc.StatusCode.PERMISSION_DENIED, reply.cancel_reason)
    raise Failure(grpc.StatusCode.UNAVAILABLE, f"the server ended the watch: {reply.cancel_reason}")


def _event(event: pb.Event) -> Event:
    return Event("delete" if event.type == pb.Event.DELETE else "put", item(event.kv))
