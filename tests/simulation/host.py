"""The part of a simulated worker that is alive or not, calls etcd, and keeps its two leases."""

from collections.abc import Callable
from typing import Any

from coordination import documents
from coordination.documents import Presence
from coordination.errors import CoordinationError, LeaseLost
from coordination.fires import SESSION_TTL
from coordination.gateway import Compare, Put
from coordination.keys import Keys
from coordination.memory import MemoryStore
from tests.simulation.executions import Execution, Guard
from tests.simulation.world import Etcd, Link, World, wall
from workers.engine.standing import FENCE_MARGIN, PRESENCE_TTL, Now, Standing

KEYS = Keys()
LEASE_TICK = PRESENCE_TTL / 3


class Host:
    """What it does happens only while it is up and not paused; what comes in while it is paused waits."""

    def __init__(self, world: World, etcd: Etcd, name: str, history: list[Execution]) -> None:
        self.world = world
        self.name = name
        self.link = Link(world, etcd)
        self.guard = Guard(world, history)
        self.skew = 0.0
        self.life = 0
        self.is_up = False
        self.is_paused = False
        self._inbox: list[tuple[int, Callable[..., None], tuple[Any, ...]]] = []
        self._old_session: int | None = None

    def _begin_life(self) -> None:
        self.life += 1
        self.is_up, self.is_paused = True, False
        self.world.trace(self.name, "up")
        self.standing = Standing(self.name)
        self._presence: int | None = None
        self._lease: int | None = None
        self._session = ""
        self._hindrance = ""
        self._sent = 0.0
        self._ticks = 0
        self._granting = False
        if self._old_session is not None:
            lease = self._old_session
            self._call(lambda store: store.revoke(lease), lambda _: None)

    def crash(self) -> None:
        """The worker dies; its guard sees the end of the pipe and kills its jobs."""
        self.world.trace(self.name, "down")
        self.is_up = False
        self._old_session = self._lease
        self._inbox.clear()
        self.guard.kill_all()

    def pause(self, host: bool) -> None:
        """SIGSTOP to the worker, or the whole machine stops: then its guard stops as well."""
        self.world.trace(self.name, "paused", host)
        self.is_paused = True
        self.guard.frozen = host

    def resume(self) -> None:
        """All that has come in meanwhile is worked off at once."""
        self.world.trace(self.name, "resumed")
        self.is_paused = self.guard.frozen = False
        waiting, self._inbox = self._inbox, []
        for life, function, arguments in waiting:
            self._do(life, function, *arguments)

    def _poll_all(self) -> None:
        raise NotImplementedError

    def _do(self, life: int, function: Callable[..., None], *arguments: Any) -> None:
        if life != self.life or not self.is_up:
            return
        if self.is_paused:
            self._inbox.append((life, function, arguments))
            return
        function(*arguments)

    def _later(self, delay: float, function: Callable[..., None], *arguments: Any) -> None:
        self.world.after(delay, self._do, self.life, function, *arguments)

    def _call(
        self,
        operation: Callable[[MemoryStore], Any],
        reply: Callable[[Any], None],
        fail: Callable[[CoordinationError | None], None] = lambda _: None,
    ) -> None:
        life = self.life
        self.link.call(
            operation, lambda result: self._do(life, reply, result), lambda error: self._do(life, fail, error)
        )

    def now(self) -> Now:
        """Both clocks of this host; its boot clock is the virtual time."""
        return Now(wall(self.world.now + self.skew), self.world.now)

    # -- leases -----------------------------------------------------------------------------------------------------

    def _tick(self, life: int) -> None:
        self._ticks += 1
        self._keep_presence()
        if self._lease is not None and self.world.now > self._sent + SESSION_TTL:
            self._lose_session()
        if self._lease is None:
            self._grant()
        elif self._ticks % 3 == 0:
            self._keep_session()
        self._observe()
        self._later(LEASE_TICK, self._tick, life)

    def _observe(self) -> None:
        """As the product does each second: everything is looked at only when something stands in the way anew."""
        self.standing.observe(self.now())
        hindrance = self.standing.hindrance(self.now())
        if hindrance != self._hindrance:
            self._hindrance = hindrance
            self._poll_all()

    def _keep_presence(self) -> None:
        lease = self._presence
        if lease is None:
            value = documents.encode(Presence(node=self.name, name=self.name, host=self.name))

            def create(store: MemoryStore) -> int:
                granted = store.grant(PRESENCE_TTL)
                store.transact((), (Put(KEYS.node(self.name), value, granted.id),))
                return granted.id

            self._call(create, lambda granted: setattr(self, "_presence", granted))
        else:
            self._call(lambda store: store.keep_alive(lease), lambda _: None, self._presence_failed)

    def _presence_failed(self, error: CoordinationError | None) -> None:
        if isinstance(error, LeaseLost):
            self._presence = None

    def _grant(self) -> None:
        if self._granting:
            return
        self._granting = True
        session, sent = f"{self.name}-{self.world.nonce()}", self.world.now
        key = KEYS.session(self.name, session)

        def create(store: MemoryStore) -> int:
            granted = store.grant(SESSION_TTL)
            store.transact((Compare.absent(key),), (Put(key, b"", granted.id),))
            return granted.id

        self._call(create, lambda lease: self._granted(session, lease, sent), lambda _: self._refused_session())

    def _refused_session(self) -> None:
        self._granting = False

    def _granted(self, session: str, lease: int, sent: float) -> None:
        self._granting = False
        self._session, self._lease = session, lease
        self._kept(session, sent, SESSION_TTL)

    def _keep_session(self) -> None:
        lease, session, sent = self._lease, self._session, self.world.now
        assert lease is not None
        self._call(
            lambda store: store.keep_alive(lease),
            lambda ttl: self._kept(session, sent, ttl),
            lambda error: self._session_failed(session, error),
        )

    def _kept(self, session: str, sent: float, ttl: float) -> None:
        if session != self._session or self._lease is None:
            return
        self._sent = max(self._sent, sent)
        is_new = self.standing.right is None or self.standing.right.session != session
        self.standing.kept_alive(session, sent, ttl)
        self.guard.extend(session, sent + ttl - FENCE_MARGIN)
        if is_new:
            self._poll_all()

    def _session_failed(self, session: str, error: CoordinationError | None) -> None:
        if isinstance(error, LeaseLost) and session == self._session:
            self._lose_session()
            self._grant()

    def _lose_session(self) -> None:
        self.world.trace(self.name, "session lost", self._session)
        self.standing.session_lost(self._session)
        self._lease = None
