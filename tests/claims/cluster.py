"""A cluster of SharedPlans over a store, moved by hand: what is sent is carried out when the test says so."""

from datetime import datetime
from typing import Any

from msgspec.structs import replace

from coordination import fires
from coordination.documents import PipelineDocument
from coordination.fires import SESSION_TTL, Epoch, FireRecord
from coordination.gateway import Outcome, Put
from coordination.keys import Keys
from coordination.memory import MemoryStore
from tests.simulation.schedule import make_fires
from tests.simulation.world import wall
from workers.engine.claims import SharedPlan
from workers.engine.claims_actions import Action, Send, Start, Wake
from workers.engine.placement import Member, ranking
from workers.engine.plan import Note
from workers.engine.standing import Now, Standing

KEYS = Keys()
NAMES = ("a", "b", "c")
PIPELINE = "5c9aa1ce-0000-4000-8000-000000000002"
START = 100.0
"""The second at which a cluster begins; its epoch began at second 0."""


def document(**changes: Any) -> PipelineDocument:
    """Every 10 seconds, sticky, at most once."""
    plain = PipelineDocument(
        pipeline=PIPELINE,
        node="",
        generation=1,
        not_before=wall(START),
        name="shared",
        schedule="10 0",
        placement="one_sticky",
        misfire_grace=0,
        nodes=NAMES,
    )
    return replace(plain, **changes)


def order() -> list[str]:
    """The nodes by rank."""
    return ranking(PIPELINE, NAMES, dict.fromkeys(NAMES, Member()))


LIMIT = 500
"""The most transactions at one moment."""


class Cluster:
    """The store, the time, and the workers by rank."""

    def __init__(self, plan: PipelineDocument | None = None, *, first: bool = True) -> None:
        self.time = START
        self.store = MemoryStore(lambda: self.time)
        self.plan = plan or document()
        self.begin_epoch(0.0, first=first)
        self.workers = [Worker(self, name) for name in order()]

    def begin_epoch(self, at: float, *, first: bool = False) -> Epoch:
        """What the leading master does."""
        epoch = Epoch(id=int(at * 1000) + 1, created=wall(at), first=first)
        self.store.transact((), (Put(KEYS.epoch(), fires.encode(epoch)),))
        return epoch

    def wipe(self, at: float) -> None:
        """etcd starts empty; the master begins an epoch, the workers take new sessions."""
        self.store.wipe()
        self.begin_epoch(at)
        for worker in self.workers:
            worker.renew_session()

    @property
    def record(self) -> FireRecord:
        """As it stands in the store."""
        found = fires.seen(self.store.get(KEYS.fires(PIPELINE))).record
        assert found is not None
        return found

    def put(self, record: FireRecord) -> None:
        """Somebody writes it."""
        self.store.transact((), (Put(KEYS.fires(PIPELINE), fires.encode(record)),))

    def set(self, **changes: Any) -> None:
        """Somebody changes it: the next version."""
        self.put(replace(self.record, version=self.record.version + 1, **changes))


class Worker:
    """One node. ``actions`` are what its plan asked for, but for transactions and wakes."""

    def __init__(self, cluster: Cluster, name: str, *, known: FireRecord | None = None, measured: bool = True) -> None:
        self.cluster = cluster
        self.name = name
        self.skew = 0.0
        self.actions: list[Action] = []
        self.sent: list[Send] = []
        self.wake = Wake(None, None)
        self.nonces = 0
        self.session = ""
        self.lease = 0
        self.standing = Standing(name, members=dict.fromkeys(NAMES, Member()))
        if measured:
            self.standing.measured(0.0, self.now())
        self.renew_session()
        self.plan = SharedPlan(
            cluster.plan,
            standing=self.standing,
            keys=KEYS,
            make_fires=make_fires,
            new_nonce=self._nonce,
            known=known,
        )

    def _nonce(self) -> str:
        self.nonces += 1
        return f"{self.name}{self.nonces}"

    def now(self) -> Now:
        return Now(wall(self.cluster.time + self.skew), self.cluster.time)

    def renew_session(self) -> None:
        """A new session, its key in the store."""
        self.session = f"{self.name}-{self.cluster.time}-{self.session and 'again'}"
        self.lease = self.cluster.store.grant(SESSION_TTL).id
        key = KEYS.session(self.name, self.session)
        self.cluster.store.transact((), (Put(key, b"", self.lease),))
        self.standing.kept_alive(self.session, self.cluster.time, SESSION_TTL)

    def keep_alive(self) -> None:
        """The session lives on."""
        self.cluster.store.keep_alive(self.lease)
        self.standing.kept_alive(self.session, self.cluster.time, SESSION_TTL)

    def poll(self) -> list[Action]:
        """One poll; what it sends stays unsent."""
        actions = self.plan.poll(self.now())
        last = actions[-1]
        assert isinstance(last, Wake)
        self.wake = last
        self.sent += [action for action in actions if isinstance(action, Send)]
        rest = [action for action in actions if not isinstance(action, Send | Wake)]
        self.actions += rest
        return rest

    def commit(self) -> Outcome:
        """The store carries out what was sent first."""
        transaction = self.sent.pop(0).transaction
        return self.cluster.store.transact(transaction.compares, transaction.then, transaction.otherwise)

    def answer(self) -> Outcome:
        """And the answer comes back."""
        outcome = self.commit()
        self.plan.answered(outcome, self.now())
        return outcome

    def settle(self) -> list[Action]:
        """Until there is nothing more to send; the actions since the beginning of this call."""
        begun = len(self.actions)
        self.poll()
        for _ in range(LIMIT):
            if not self.sent:
                break
            self.answer()
            self.poll()
        assert not self.sent, "it sends without end"
        return self.actions[begun:]

    def at(self, second: float) -> list[Action]:
        """Time goes on, the sessions with it, and the worker does what there is to do."""
        while self.cluster.time < second:
            self.cluster.time = min(second, self.cluster.time + SESSION_TTL / 2)
            for worker in self.cluster.workers:
                worker.keep_alive()
        return self.settle()

    @property
    def starts(self) -> list[Start]:
        return [action for action in self.actions if isinstance(action, Start)]


def instants(times: tuple[datetime, ...]) -> list[float]:
    """As seconds."""
    return [(time - wall(0)).total_seconds() for time in times]


def notes(worker: Worker) -> list[tuple[float, str, str]]:
    """Second, state and reason of the ledger rows that it journaled."""
    rows = [action.record for action in worker.actions if isinstance(action, Note)]
    return [(instants((row.scheduled_at,))[0], row.state, row.reason) for row in rows]
