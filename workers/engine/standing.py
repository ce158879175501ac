"""Where this node stands in the cluster: its right to run shared fires, the epoch, who is alive, how its clock is.

One object for all shared pipelines of a worker. It reads no clock: what happens to it carries the time. Wall time is
aware UTC; ``boot`` is CLOCK_BOOTTIME in seconds, which goes on while the machine sleeps and is never set.
"""

from collections import deque
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta

from msgspec import DecodeError

from coordination.fires import Epoch, decode_epoch
from workers.engine.placement import Member

PRESENCE_TTL = 10.0
"""Seconds a node's presence outlives its last keep-alive."""

FENCE_MARGIN = 3.0
"""Seconds before the session can end at which the right to run does: time enough to kill."""

CLAIM_MARGIN = 5.0
"""A claim needs at least so many seconds of the right to run."""

SKEW_LIMIT = 2.0
"""A clock further than so many seconds from the server's makes no shared claims."""

UNMEASURED_PATIENCE = 30.0
"""Seconds for which a new worker waits for the first measure of its clock before it trusts it unmeasured."""

BLANK = timedelta(seconds=1)
"""Instants up to the epoch's creation and this much later are never claimed in it."""

HINDRANCES = 32
"""Past hindrances remembered, to tell the ledger why."""

FORMER = 8
"""Lost sessions remembered. Those before have long been over."""


@dataclass(frozen=True, slots=True)
class Now:
    """Both clocks at one moment."""

    wall: datetime
    boot: float


@dataclass(frozen=True, slots=True)
class Right:
    """A session and the ``boot`` second at which the right to run under it ends."""

    session: str
    deadline: float


@dataclass(slots=True)
class _Hindrance:
    reason: str
    since: datetime
    until: datetime | None = None


@dataclass(slots=True)
class Standing:
    """``members`` None: not known yet. ``paused``: the global switch. ``draining``: the console wants this node to take
    nothing new; ``stopping``: its worker ends. ``hampered`` says what else keeps it from running what must run once."""

    node: str
    right: Right | None = None
    epoch: Epoch | None = None
    members: Mapping[str, Member] | None = None
    paused: bool = False
    draining: bool = False
    stopping: bool = False
    hampered: str = ""
    _skew: float | None = None
    _offset: float = 0.0
    _first: float | None = None
    _hindrances: deque[_Hindrance] = field(default_factory=lambda: deque(maxlen=HINDRANCES))
    _former: deque[Right] = field(default_factory=lambda: deque(maxlen=FORMER))

    # -- what happens -------------------------------------------------------------------------------------------

    def kept_alive(self, session: str, sent: float, ttl: float) -> None:
        """A session's lease was granted or renewed for ``ttl`` seconds by a call sent at ``sent`` (boot).

        Counted from the sending: the server counts from later, so its session outlives our right to run.
        """
        deadline = sent + ttl - FENCE_MARGIN
        if self.right is None or self.right.session != session:
            # The session before may have ended with all of etcd's data: look which epoch it is.
            self.epoch = None
            self._leave_session()
            self.right = Right(session, deadline)
        elif self.right.deadline < deadline:
            self.right = Right(session, deadline)

    def session_lost(self, session: str) -> None:
        """The server said so, or the deadline has passed."""
        if self.right is not None and self.right.session == session:
            self._leave_session()

    def _leave_session(self) -> None:
        if self.right is not None:
            self._former.append(self.right)
        self.right = None

    def epoch_seen(self, value: bytes | None) -> None:
        """What the epoch's key holds, None when it is absent."""
        try:
            self.epoch = None if value is None else decode_epoch(value)
        except DecodeError:
            self.epoch = None

    def measured(self, skew: float, now: Now) -> None:
        """The node's clock is ``skew`` seconds ahead of the server's (negative: behind)."""
        self._skew = skew
        self._offset = now.wall.timestamp() - now.boot

    # -- what follows -------------------------------------------------------------------------------------------

    def skew(self, now: Now) -> float | None:
        """Seconds ahead of the server: the last measure, and by how much the clock was set since then."""
        if self._skew is None:
            return None
        return self._skew + (now.wall.timestamp() - now.boot) - self._offset

    def clock_trouble(self, now: Now) -> str:
        """Why this clock may not decide about shared fires; empty when it may."""
        skew = self.skew(now)
        if skew is not None and abs(skew) > SKEW_LIMIT:
            return f"this node's clock was {abs(skew):.0f} s {'ahead of' if skew > 0 else 'behind'} the server's"
        if skew is None and (self._first is None or now.boot < self._first + UNMEASURED_PATIENCE):
            return "this node's clock was not measured yet"
        return ""

    def has_right(self, now: Now, margin: float = 0.0) -> bool:
        """The session is held and its right to run lasts for more than ``margin`` seconds."""
        return self.right is not None and now.boot < self.right.deadline - margin

    def outlives(self, session: str, now: Now) -> bool:
        """The right to run under this session, present or former, is not over."""
        rights = self._former if self.right is None else (*self._former, self.right)
        return any(right.session == session and now.boot < right.deadline for right in rights)

    def settling(self, now: Now) -> bool:
        """The epoch is too young for claims."""
        return self.epoch is not None and now.wall < self.epoch.settled_at

    def hindrance(self, now: Now) -> str:
        """Why this node can claim nothing now, whatever the pipeline; empty when it can."""
        if not self.has_right(now, CLAIM_MARGIN):
            return "etcd could not be reached"
        if self.epoch is None:
            return "etcd had lost its data and no new epoch was begun"
        if self.settling(now):
            return "etcd had lost its data and a new epoch was settling"
        if self.stopping:
            return "this worker was stopping"
        if self.draining:
            return "this node was draining"
        if self.hampered:
            return self.hampered
        return self.clock_trouble(now)

    def observe(self, now: Now) -> None:
        """Notes how long each hindrance lasts, so that ``why`` can tell later."""
        if self._first is None:
            self._first = now.boot
        reason = self.hindrance(now)
        last = self._hindrances[-1] if self._hindrances else None
        if last is not None and last.until is None:
            if last.reason == reason:
                return
            last.until = now.wall
        if reason:
            self._hindrances.append(_Hindrance(reason, now.wall))

    def why(self, instant: datetime, until: datetime) -> str:
        """What kept this node from claiming between these instants; empty when nothing did."""
        for entry in self._hindrances:
            if entry.since <= until and (entry.until is None or entry.until >= instant):
                return entry.reason
        return ""
