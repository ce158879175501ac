"""The decisions of one call, step by step: which endpoint, which deadline, what is repeated."""

from collections.abc import Generator
from typing import Any

import grpc
import pytest

from coordination.errors import AuthenticationFailed, DeadlineExceeded, Unavailable
from coordination.etcd import etcd_pb2 as pb
from coordination.etcd.calls import RANGE, TRANSACT, Connect, Method, Pause, Send, SignIn, Step, exchange
from coordination.etcd.channel import Session
from coordination.etcd.errors import Failure
from coordination.gateway import EtcdSettings

UNAVAILABLE = Failure(grpc.StatusCode.UNAVAILABLE, "connection reset")
TIMEOUT = Failure(grpc.StatusCode.DEADLINE_EXCEEDED, "Deadline Exceeded")
STALE = Failure(grpc.StatusCode.UNAUTHENTICATED, "etcdserver: invalid auth token")

CHANGED = Failure(grpc.StatusCode.INVALID_ARGUMENT, "etcdserver: revision of auth store is old")


class Call:
    """A call under way, and the step it wants performed."""

    def __init__(self, method: Method, *, endpoints: int = 1, user: str = "") -> None:
        self.now = 100.0
        names = tuple(f"node{n}:2379" for n in range(endpoints))
        self.session = Session(EtcdSettings(names, user=user, password="p"), lambda: self.now)
        self.plan: Generator[Step, Any, Any] = exchange(self.session, method, object(), 6.0)
        self.step: Any = next(self.plan)
        self.reply: Any = None

    def done(self, result: Any = None, *, after: float = 0.0) -> Any:
        """The step was performed; the next one, or None when the call has ended with ``reply``."""
        self.now += after
        try:
            self.step = self.plan.throw(result) if isinstance(result, Failure) else self.plan.send(result)
        except StopIteration as stop:
            self.step, self.reply = None, stop.value
        return self.step


def test_a_read_leaves_time_for_the_other_endpoints_and_goes_there() -> None:
    call = Call(RANGE, endpoints=3)
    assert call.step == Connect((0, 1, 2), 6.0)
    send = call.done(1)
    assert isinstance(send, Send)
    assert (send.endpoint, send.seconds) == (1, 2.0)
    assert isinstance(call.done(TIMEOUT, after=2.0), Pause)
    connect = call.done(after=0.1)
    assert isinstance(connect, Connect)
    assert connect.endpoints == (0, 2)
    assert connect.seconds < 3.9, "time is left for the suspect, should no other answer"
    send = call.done(2)
    assert isinstance(send, Send)
    assert send.seconds == pytest.approx(3.9 / 2)
    assert call.done("reply") is None
    assert call.reply == "reply"
    assert call.session.ring.in_use == "node2:2379"


def test_a_suspect_is_tried_when_no_other_answers() -> None:
    call = Call(RANGE, endpoints=2)
    call.done(0)
    call.done(UNAVAILABLE)
    assert call.done().endpoints == (1,)
    assert call.done(None, after=2.0).endpoints == (0, 1)
    assert isinstance(call.done(0), Send)


@pytest.mark.parametrize("failure", [UNAVAILABLE, TIMEOUT])
def test_a_write_is_never_sent_twice(failure: Failure) -> None:
    call = Call(TRANSACT, endpoints=2)
    assert call.done(0).seconds == 6.0
    with pytest.raises(Unavailable, match="node0:2379"):
        call.done(failure)
    assert call.session.ring.candidates() == (1,)


def test_a_read_is_not_repeated_beyond_its_deadline() -> None:
    call = Call(RANGE)
    call.done(0)
    assert isinstance(call.done(UNAVAILABLE, after=3.0), Pause)
    call.done(after=0.1)
    call.done(0)
    with pytest.raises(DeadlineExceeded):
        call.done(TIMEOUT, after=2.85)


@pytest.mark.parametrize("method", [RANGE, TRANSACT])
def test_an_ended_token_is_replaced_once(method: Method) -> None:
    """A write too: it was refused, so it was not applied."""
    call = Call(method, user="u")
    assert isinstance(call.done(0), SignIn)
    call.session.token = "first"
    assert call.done().token == "first"
    assert call.done(STALE, after=1.0) == SignIn("first", 5.0)
    call.session.token = "second"
    assert call.done().token == "second"
    with pytest.raises(AuthenticationFailed):
        call.done(STALE)


def test_a_token_without_an_answer_is_replaced() -> None:
    """etcd may wait for the index that the token names, and an emptied one would do so for ever."""
    call = Call(RANGE, endpoints=2, user="u")
    call.done(0)
    call.session.token = "first"
    call.done()
    assert isinstance(call.done(TIMEOUT, after=3.0), Pause)
    assert call.done(after=0.1) == Connect((1,), pytest.approx(1.45))
    assert call.done(1) == SignIn("", pytest.approx(2.9))
    call.session.token = "second"
    assert call.done().token == "second"


def test_a_token_that_another_call_has_replaced_stays() -> None:
    call = Call(TRANSACT, user="u")
    call.done(0)
    call.session.token = "first"
    call.done()
    call.session.token = "second"
    with pytest.raises(DeadlineExceeded):
        call.done(TIMEOUT)
    assert call.session.token == "second"


@pytest.mark.parametrize("method", [RANGE, TRANSACT])
def test_while_users_change_a_request_is_sent_again_and_again(method: Method) -> None:
    """With the same token, which a simple one allows, and then with another, which a JWT needs."""
    call = Call(method, user="u")
    call.done(0)
    call.session.token = "first"
    call.done()
    assert call.done(CHANGED).token == "first", "at once"
    assert isinstance(call.done(CHANGED), SignIn)
    call.done()
    assert isinstance(call.done(CHANGED), Pause)
    call.done(after=0.1)
    assert isinstance(call.done(CHANGED), SignIn)
    call.done(after=5.85)
    with pytest.raises(AuthenticationFailed, match="changed meanwhile"):
        call.done(CHANGED)


def test_without_a_connection_the_reason_is_asked_for() -> None:
    call = Call(RANGE)
    send = call.done(None, after=6.0)
    assert isinstance(send, Send)
    assert isinstance(send.request, pb.StatusRequest)
    with pytest.raises(Unavailable, match=r"node0:2379: cannot connect.*connection reset"):
        call.done(UNAVAILABLE)
