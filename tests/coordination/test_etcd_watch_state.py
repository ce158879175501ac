"""Where a watch resumes: behind what it has handed on, whatever the headers say."""

import grpc
import pytest

from coordination.errors import Compacted
from coordination.etcd import etcd_pb2 as pb
from coordination.etcd.errors import Failure
from coordination.etcd.watch_state import Refused, WatchState


def reply(header: int, *revisions: int, term: int = 2, **fields: object) -> pb.WatchResponse:
    """A reply with one put for each of the revisions."""
    events = [pb.Event(kv=pb.KeyValue(key=b"k", mod_revision=revision)) for revision in revisions]
    return pb.WatchResponse(header=pb.ResponseHeader(revision=header, raft_term=term), events=events, **fields)


def start_revision(state: WatchState) -> int:
    return state.request().create_request.start_revision


def test_it_resumes_behind_the_last_event_not_behind_the_header() -> None:
    state = WatchState("/", 5)
    assert start_revision(state) == 5
    assert state.created(reply(900, created=True))
    assert start_revision(state) == 5
    batch = state.receive(reply(900, 5, 6, 6))
    assert batch is not None
    assert (batch.revision, len(batch.events)) == (6, 3)
    assert start_revision(state) == 7


def test_a_progress_notification_moves_it_and_a_sign_of_life_does_not() -> None:
    state = WatchState("/", 5)
    assert state.receive(reply(50, watch_id=-1)) is None
    assert start_revision(state) == 5
    batch = state.receive(reply(50))
    assert batch is not None
    assert (batch.revision, batch.events) == (50, ())
    assert start_revision(state) == 51


def test_half_a_revision_is_not_handed_on_and_comes_again() -> None:
    state = WatchState("/", 5)
    assert state.receive(reply(9, 5, 6, fragment=True)) is None
    assert start_revision(state) == 5
    batch = state.receive(reply(9, 5, 6, 6))
    assert batch is not None
    assert [event.item.mod_revision for event in batch.events] == [5, 6, 6]


def test_a_store_that_is_behind_is_doubted() -> None:
    state = WatchState("/", 5)
    assert state.created(reply(4, term=3, created=True))
    assert not state.created(reply(3, term=3, created=True))
    assert not state.created(reply(9, term=2, created=True))
    assert not state.is_ahead_of(reply(9, term=3).header)


def test_the_ways_to_end() -> None:
    state = WatchState("/", 5)
    with pytest.raises(Compacted) as compacted:
        state.receive(reply(9, canceled=True, compact_revision=8))
    assert compacted.value.compact_revision == 8
    with pytest.raises(Refused) as refused:
        state.created(reply(9, canceled=True, created=True, cancel_reason="permission denied"))
    assert refused.value.code is grpc.StatusCode.PERMISSION_DENIED
    with pytest.raises(Failure) as ended:
        state.receive(reply(9, canceled=True, cancel_reason="going away"))
    assert ended.value.code is grpc.StatusCode.UNAVAILABLE
