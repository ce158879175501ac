"""The worker: everything beside it is wired together here, watched over, and stopped in order."""

import asyncio
import gc
import logging
import os
import signal
import socket
from collections.abc import Mapping, Sequence
from dataclasses import replace

from coordination import servicemanager
from coordination.connectivity import Connectivity
from coordination.crypto import CannotOpen, unseal
from coordination.documents import PipelineDocument
from coordination.documents import Presence as PresenceDocument
from coordination.gateway import Gateway
from coordination.keys import Keys
from coordination.listener import Address, Listener
from coordination.records import NodeReport
from workers.engine.acceptance import Acceptance
from workers.engine.capacity import Capacity
from workers.engine.clock import Clock
from workers.engine.commands import Commands
from workers.engine.courier import Courier
from workers.engine.definitions import Definitions, Settings
from workers.engine.dispatch import Dispatcher
from workers.engine.execution import Execution, RunSpec
from workers.engine.guard import Guard
from workers.engine.hands import Hands
from workers.engine.identity import Identity
from workers.engine.journal import Journal
from workers.engine.metrics import Metrics
from workers.engine.observation import Observation
from workers.engine.occasions import occasions
from workers.engine.options import Options
from workers.engine.orders import Orders
from workers.engine.plan import Decision, Plan
from workers.engine.presence import Presence
from workers.engine.recovery import recover
from workers.engine.session import Session
from workers.engine.setback import SetBack
from workers.engine.shared import Shared
from workers.engine.shared_runs import SharedRuns
from workers.engine.shipper import Shipper
from workers.engine.standing import Standing
from workers.engine.supervision import Supervisor
from workers.engine.timer import WallTimer
from workers.engine.trust import Trust
from workers.engine.watcher import Follower, Watcher

log = logging.getLogger(__name__)

SYNC_PATIENCE = 3.0
"""Seconds that a starting worker waits for etcd's word before it fires from what it remembers."""

STOP_PATIENCE = 60.0
"""Seconds beyond the grace that a stopping worker may take before its service manager loses patience."""

SHIP_PATIENCE = 5.0
"""Seconds that a stopping worker takes to deliver what it has; the rest is delivered after the next start."""


class Service:
    """One worker process. ``environ`` is its environment, of which jobs get next to nothing."""

    def __init__(
        self,
        identity: Identity,
        options: Options,
        *,
        gateway: Gateway,
        courier: Courier,
        clock: Clock,
        environ: Mapping[str, str],
    ) -> None:
        self._identity = identity
        self._options = options
        self._clock = clock
        self._environ = environ
        self._gateway = gateway
        self._started_at = clock.now()
        self._keys = Keys(identity.prefix)
        self._host = socket.gethostname()
        self._supervisor = Supervisor(clock)
        self._capacity = Capacity(options.capacity)
        self._metrics = Metrics()
        self._journal = Journal(options.state_dir / "journal.db", clock=clock, on_kept=self._metrics.recorded)
        lease_file = options.state_dir / "presence.lease"
        self._presence = Presence(gateway, self._keys.node(identity.node), self._describe, clock, lease_file)
        self._trust = Trust(identity, options.state_dir, self._look_again)
        self._watchers: list[Watcher] = []
        self._courier = courier
        self._acceptance = Acceptance(identity.node, self._trust.keys, self._trust.former)
        self._orders = Orders(identity, options.state_dir, self._acceptance, self._drain)
        self._connectivity = Connectivity(clock.monotonic)
        self._stop = asyncio.Event()
        self._stopping = False
        self._is_ready = False
        self._tell = servicemanager.teller(environ)
        self._set_back = SetBack(clock)
        self._guard: Guard
        self._hands: Hands
        self._plan: Plan
        self._dispatcher: Dispatcher
        self._definitions: Definitions
        self._shared: Shared
        self._session: Session
        self._shipper: Shipper
        self._timer: WallTimer

    async def run(self) -> None:
        """Works until SIGTERM or SIGINT, then drains; a second signal ends the grace."""
        loop = asyncio.get_running_loop()
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, self.stop)
        await self._journal.open()
        try:
            await self._work()
        finally:
            await self._journal.close()

    def stop(self) -> None:
        """Asks the worker to stop; asked again, it kills what runs."""
        if self._stop.is_set():
            log.warning("stopping at once")
            self._dispatcher.kill_all()
        self._stop.set()

    # -- the life of a worker -----------------------------------------------------------------------------------

    async def _work(self) -> None:
        await self._prepare()
        try:
            await self._begin()
            await self._stop.wait()
        finally:
            await self._end()

    async def _prepare(self) -> None:
        """What must be true before anything may fire."""
        self._timer = WallTimer()
        self._guard = Guard(self._clock)
        self._guard.start()
        self._hands = Hands(
            clock=self._clock,
            scratch=self._options.state_dir / "scratch",
            environ=self._environ,
            guard=self._guard,
            groups=self._options.groups,
        )
        await recover(self._journal, self._hands.reaper.kill_runs, self._clock)
        self._plan = Plan(
            self._identity.node,
            started_at=self._started_at,
            born=self._journal.born,
            cursors=await self._journal.cursors(),
        )
        self._dispatcher = Dispatcher(
            plan=self._plan,
            journal=self._journal,
            capacity=self._capacity,
            make_execution=self._make_execution,
            clock=self._clock,
            on_ended=lambda record: self._shared.runs.ended(record),
        )
        await self._prepare_shared()
        self._shipper = Shipper(
            self._journal,
            self._orders,
            self._courier,
            self._clock,
            self._report,
            self._shared,
            self._trust.learn,
        )

    async def _prepare_shared(self) -> None:
        self._shared = Shared(
            standing=Standing(self._identity.node),
            keys=self._keys,
            gateway=self._gateway,
            journal=self._journal,
            clock=self._clock,
            make_fires=occasions,
            known=await self._journal.remembered(),
            on_first=self._begin_shared,
            on_claim=self._metrics.claimed,
        )
        self._shared.runs = SharedRuns(self._dispatcher, self._guard, self._clock.boottime, self._shared.ended)
        self._session = Session(
            self._gateway,
            self._keys,
            self._identity.node,
            self._options.session_ttl,
            self._clock,
            self._options.state_dir / "session.lease",
            on_kept=self._shared.kept_alive,
            on_lost=self._shared.session_lost,
        )

    def _begin_shared(self) -> None:
        """The first shared pipeline is here: this node needs a session, and has to know who else lives."""
        self._supervisor.start("session", self._session.run)
        self._watch(self._keys.nodes(), self._shared.members)
        self._supervisor.start("shared fires", self._shared.run)
        self._supervisor.start("rights", self._shared.tick)

    async def _begin(self) -> None:
        if self._options.metrics is not None:
            self._supervisor.start("health and metrics", self._listener(self._options.metrics).run)
        settings = Settings(
            acceptance=self._acceptance,
            journal=self._journal,
            plan=self._plan,
            shared=self._shared,
            carry_out=self._carry_out,
            clock=self._clock,
        )
        self._definitions = self._make_definitions(await self._journal.generations())
        commands = Commands(
            keys=self._keys,
            acceptance=self._acceptance,
            journal=self._journal,
            dispatcher=self._dispatcher,
            clock=self._clock,
            is_draining=lambda: self._orders.draining,
        )
        await settings.load_cache()
        await self._drain(self._orders.draining)
        self._supervisor.start("delivery", self._shipper.run)
        self._supervisor.start("guard", self._guard.watch)
        # From memory first: what etcd then says is an edit of it, and settles what passed in between.
        await self._definitions.load_cache()
        watchers = [
            self._watch(self._keys.config(), settings),
            self._watch(self._keys.pipelines(self._identity.node), self._definitions),
        ]
        await self._presence.end_earlier_life()
        self._supervisor.start("presence", self._presence.run)
        self._supervisor.start("presence refresh", self._presence.refresh)
        await self._first_word(*watchers)
        await self._carry_out(self._plan.reboot())
        self._watch(self._keys.commands(self._identity.node), commands)
        self._supervisor.start("timer", self._fire)
        self._is_ready = True
        # What is here now stays for long: looking through all of it for garbage takes a second at 100,000 pipelines.
        gc.freeze()
        log.info("node %s (%s) is ready", self._orders.name, self._identity.node)
        self._tell(f"READY=1\nSTATUS=node {self._orders.name}")

    def _make_definitions(self, generations: dict[str, int]) -> Definitions:
        return Definitions(
            keys=self._keys,
            acceptance=self._acceptance,
            journal=self._journal,
            plan=self._plan,
            shared=self._shared,
            make_fires=occasions,
            carry_out=self._carry_out,
            clock=self._clock,
            generations=generations,
        )

    async def _end(self) -> None:
        self._stopping, self._is_ready = True, False
        patience = round((self._options.grace + STOP_PATIENCE) * 1e6)
        self._tell(f"STOPPING=1\nSTATUS=waiting for runs to end\nEXTEND_TIMEOUT_USEC={patience}")
        await self._supervisor.stop("timer")
        await self._shared.settle()
        log.info("stopping; %d runs are going", self._dispatcher.running)
        await self._dispatcher.drain(self._options.grace)
        await self._shared.finish()
        await self._supervisor.stop()
        await self._session.aclose()
        await self._shared.close()
        await self._presence.aclose()
        await self._shipper.drain(SHIP_PATIENCE)
        await self._hands.close()
        await self._guard.close()
        self._timer.close()
        await self._gateway.close()

    # -- firing -------------------------------------------------------------------------------------------------

    async def _fire(self) -> None:
        while True:
            now = self._clock.now()
            self._set_back.look(now, self._plan.decided_until)
            await self._definitions.turn(now)
            decisions = self._plan.due(now)
            if decisions:
                await self._dispatcher.carry_out(decisions)
                continue
            wakes = (self._plan.next_wake(), self._definitions.next_turn())
            await self._timer.wait_until(min((wake for wake in wakes if wake is not None), default=None))

    async def _drain(self, draining: bool) -> None:
        """Begins nothing new from now on, or does again. What runs goes on."""
        self._shared.drain(draining)
        await self._carry_out(self._plan.drain(draining, self._clock.now()))

    async def _carry_out(self, decisions: Sequence[Decision]) -> None:
        """What changes the plan may also change when it is next due."""
        await self._dispatcher.carry_out(decisions)
        self._timer.nudge()

    def _make_execution(self, document: PipelineDocument, spec: RunSpec) -> Execution:
        spec = replace(spec, node=self._identity.node, node_name=self._orders.name)
        what = (document, spec, self._open(document), self._journal, self._clock, self._hands)
        return Execution(*what, on_begun=lambda at: self._metrics.begun(spec, at))

    def _open(self, document: PipelineDocument) -> dict[str, str]:
        """The secrets of a document. One that this node's key does not open is left out: its step says so."""
        opened = {}
        for name, sealed in document.secrets.items():
            try:
                opened[name] = unseal(self._identity.private_key, sealed)
            except CannotOpen as error:
                log.error("pipeline %s: secret %s: %s", document.name, name, error)
        return opened

    # -- being connected and being seen -------------------------------------------------------------------------

    def _watch(self, prefix: str, follower: Follower) -> Watcher:
        self._connectivity.expect(prefix)
        watcher = Watcher(self._gateway, prefix, follower, self._clock, self._connectivity.changed)
        self._supervisor.start(f"watch {prefix}", watcher.run)
        self._watchers.append(watcher)
        return watcher

    def _look_again(self) -> None:
        for watcher in self._watchers:
            watcher.look_again()

    async def _first_word(self, *watchers: Watcher) -> None:
        try:
            async with asyncio.timeout(SYNC_PATIENCE):
                for watcher in watchers:
                    await watcher.synced.wait()
        except TimeoutError:
            log.warning("etcd does not answer: firing from what this node remembers")

    @property
    def _is_draining(self) -> bool:
        return self._stopping or self._orders.draining

    def _describe(self) -> PresenceDocument:
        return PresenceDocument(
            node=self._identity.node,
            name=self._orders.name,
            host=self._host,
            version=self._options.version,
            capacity=self._options.capacity,
            running=self._capacity.running,
            draining=self._is_draining,
            labels=self._options.labels,
            pid=os.getpid(),
            started_at=self._started_at,
        )

    def _report(self) -> NodeReport:
        return NodeReport(
            version=self._options.version,
            clock=self._clock.now(),
            running=self._capacity.running,
            capacity=self._options.capacity,
            backlog=self._journal.backlog().records,
            etcd_connected=self._connectivity.is_connected,
            draining=self._is_draining,
            host=self._host,
            incidents=self._incidents(),
            void_epoch=self._shared.void_epoch(),
            keys=tuple(self._trust.keys),
            document=self._orders.generation,
        )

    def _incidents(self) -> tuple[str, ...]:
        told = (self._set_back, self._trust, self._orders)
        parts = (self._journal, self._shipper, self._presence, self._shared, self._supervisor)
        return tuple(sentence for part in (*told, *parts) for sentence in part.incidents())

    def _listener(self, address: Address) -> Listener:
        observation = Observation(
            self._metrics,
            self._options.version,
            clock=self._clock,
            journal=self._journal,
            capacity=self._capacity,
            shipper=self._shipper,
            connectivity=self._connectivity,
            report=self._report,
            leases=self._leases,
            started=lambda: self._is_ready,
        )
        return Listener(address, observation.pages, token=self._options.metrics_token)

    def _leases(self) -> dict[str, float]:
        session = {"session": self._session.deadline} if self._session.has_begun else {}
        return {"presence": self._presence.deadline, **session}
