"""A whole installation on hosts of its own: etcd with TLS and passwords, MariaDB, the console, masters, workers. All of
it can be harmed."""

import random
import secrets
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from functools import partial
from pathlib import Path
from threading import Condition

import httpx

from tests import etcd_server
from tests.endtoend.client import Client, wait_for
from tests.etcd_security import Security
from tests.etcd_server import EtcdServer
from tests.faults import parts, workers
from tests.faults.account import Account, Exclusive
from tests.faults.facts import Happened, Pipeline, Trouble, Violation, entry, to_judge
from tests.faults.guest import Guest
from tests.faults.hosts import Network
from tests.faults.inside import others
from tests.faults.parts import MariaDB, Part
from tests.faults.view import View
from tests.faults.workers import Worker
from tests.site.processes import ROOT, environment
from workers.engine import identity

SESSION_TTL = 15.0
"""Seconds: half of what it is in earnest; a claim needs at least 12."""

RECOVERY = timedelta(seconds=5)
"""A worker that is online again has its session, and has compared its clock, so much later."""

CLOCKS_DIFFER = timedelta(seconds=1)
"""A host whose clock is behind hears by it before an instant of what others hear after it."""

WEB_PORT = 9701
ADMIN = "admin"
READY_WITHIN = 90.0


@dataclass(frozen=True, kw_only=True)
class Wish:
    """A pipeline to be made: it fires every ``period`` seconds (a divisor of 60) and its job takes ``takes``, or, when
    it is ``held``, until it is let go, together with one that got away from it."""

    period: int = 1
    takes: float = 0.0
    held: bool = False
    placement: str = "one_spread"
    on_node_loss: str = "abandon"
    overlap: str = "allow"

    @property
    def exclusive(self) -> Exclusive:
        """What no two of its jobs may do at once."""
        if self.placement == "every":
            return "no"
        return "pipeline" if self.overlap == "skip" else "fire"


@dataclass(frozen=True, slots=True)
class _Saved:
    """A pipeline as the console has it; etcd may not have it yet."""

    name: str
    period: int
    nodes: tuple[str, ...]
    since: datetime


class Stage:
    """Use as a context: everything is started in ``directory``, and ended at the end of the block."""

    def __init__(self, directory: Path, *, etcd: int = 3, workers: int = 4) -> None:
        self.directory = directory
        self.account = Account(directory)
        self.troubles: list[Trouble] = []
        self.orphans: list[Violation] = []
        self.network: Network
        self.security: Security
        self.etcd: list[EtcdServer]
        self.database: MariaDB
        self.web: Part
        self.masters: list[Part]
        self.workers: list[Worker] = []
        self.console: Client
        self._meanwhile: list[_Saved] = []
        self._sizes = (etcd, workers)
        self.view: View
        self._free: list[Worker] = []
        self._freed = Condition()
        self._papers: dict[str, str]
        self._environment: dict[str, str]
        self._stack = ExitStack()

    def __enter__(self) -> "Stage":
        with self._stack as stack:
            self.network = Network()
            stack.callback(self.network.close)
            self._start_etcd(stack)
            self._start_console(stack)
            self._start_workers(stack)
            # Nothing went wrong: it is for the end of the block to close.
            self._stack = stack.pop_all()
        return self

    def __exit__(self, *error: object) -> None:
        self._stack.close()

    def close(self) -> list[Violation]:
        """Ends everything in order; what is left then, which should be nothing."""
        self._stack.close()
        left = [f"{pid} {line}" for pid, line in others()]
        left += [f"{guest.left} jobs in the guest" for guest in self._guests() if guest.left]
        return [Violation("orphan", f"left when all was stopped: {line}") for line in left]

    # -- the start ----------------------------------------------------------------------------------------------

    def _start_etcd(self, stack: ExitStack) -> None:
        hosts = [self.network.host(f"etcd{number}") for number in range(self._sizes[0])]
        self.security = Security(self.directory / "papers", [host.address for host in hosts])
        settings = self.security.server_settings()
        self.etcd = [
            EtcdServer(self.directory / host.name, name=host.name, address=host.address, prefix=host.prefix, **settings)
            for host in hosts
        ]
        stack.enter_context(etcd_server.together(self.etcd))
        endpoints = [server.endpoint for server in self.etcd]
        self._papers = self.security.environment(endpoints)
        self.view = View(self.security.settings(endpoints))
        stack.callback(self.view.close)

    def _start_console(self, stack: ExitStack) -> None:
        self.database = MariaDB(self.network.host("db"), self.directory)
        self.database.install()
        self.database.start()
        stack.callback(self.database.stop)
        host, data, password = self.network.host("web"), self.directory / "console", secrets.token_urlsafe(12)
        self._environment = environment(
            data,
            ECTS_DATABASE_URL=self.database.url,
            ECTS_SERVER_URL=f"http://{host.address}:{WEB_PORT}",
            **self._papers,
        )
        self.console = Client(self._environment["ECTS_SERVER_URL"])
        self.set_up(ECTS_ADMIN_PASSWORD=password)
        self.web = parts.web(host, WEB_PORT, self._environment, self.directory)
        hosts = [self.network.host(f"master{number}") for number in range(2)]
        self.masters = [parts.master(host, self._environment, self.directory) for host in hosts]
        for part in (self.web, *self.masters):
            part.start()
            stack.callback(part.stop)
        self.wait_ready()
        self.console.sign_in(password)

    def set_up(self, **more: str) -> None:
        """What an operator does in the beginning, and again when etcd was started empty: it is to ask for passwords."""
        done = subprocess.run(
            [sys.executable, "manage.py", "setup", "--secure-etcd"],
            cwd=ROOT,
            env=self._environment | more,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            check=False,
        )
        assert done.returncode == 0, done.stdout + done.stderr

    def _start_workers(self, stack: ExitStack) -> None:
        stack.callback(self._keep_states)
        for number in range(self._sizes[1] + 1):
            # The last one has a kernel of its own.
            worker = self._make_worker(f"w{number}", is_guest=number == self._sizes[1])
            self.workers.append(worker)
            worker.part.start()
            stack.callback(worker.part.stop)
        self.wait_workers()
        self._free = list(self.workers)

    def _make_worker(self, name: str, *, is_guest: bool) -> Worker:
        disk = workers.make_disk(self.directory / name)
        token = self.console.post("enrolment-tokens/", {"uses": 1})["token"]
        node = workers.join(name, disk, self.console.url, token)
        log = self.directory / f"{name}.log"
        part: Part | Guest
        if is_guest:
            host = self.network.socket(name)
            account = self.account.file(node)
            part = Guest(host, self.directory, state_dir=disk / "state", account=account, log=log, ttl=SESSION_TTL)
        else:
            host = self.network.host(name)
            part = workers.engine(host, disk, log, SESSION_TTL)
        return Worker(name, node, disk, host, part)

    def _keep_states(self) -> None:
        """The workers' disks end with this world."""
        for worker in self.workers:
            shutil.copytree(worker.disk, self.directory / f"{worker.name}.disk")
            workers.drop_disk(worker.disk)

    # -- pipelines ----------------------------------------------------------------------------------------------

    def pipelines(self, wishes: Sequence[Wish], bound: Sequence[Worker] = ()) -> list[Pipeline]:
        """Makes pipelines, bound to these workers, or else to all."""
        return [self._published(self._saved(wish, bound)) for wish in wishes]

    def make_meanwhile(self, wish: Wish) -> None:
        """Makes a pipeline while it may not be possible to publish it."""
        self._meanwhile.append(self._saved(wish, ()))

    def made_meanwhile(self) -> list[Pipeline]:
        """What was made so; it has to be published by now, or soon."""
        made, self._meanwhile = self._meanwhile, []
        return [self._published(saved) for saved in made]

    def _saved(self, wish: Wish, bound: Sequence[Worker]) -> _Saved:
        nodes = tuple(worker.node for worker in bound or self.workers)
        task = self.console.task("shell", self.account.script(wish.takes, wish.exclusive, wish.held))
        since = datetime.now(UTC)
        name = self.console.pipeline(
            f"*/{wish.period} * * * * *",
            [{"task": task, "position": 0}],
            nodes=nodes,
            placement=wish.placement,
            on_node_loss=wish.on_node_loss,
            overlap=wish.overlap,
        )
        return _Saved(name, wish.period, nodes, since)

    def _published(self, saved: _Saved) -> Pipeline:
        known = identity.load(self.workers[0].disk / "state", identity.machine_id())
        assert known is not None
        keys, node = known.verify_keys, saved.nodes[0]
        document = wait_for("the document is in etcd", lambda: self.view.document(node, saved.name, keys))
        assert document is not None
        return Pipeline(document, saved.nodes, saved.period, max(saved.since, document.not_before))

    def disable(self, pipelines: Sequence[Pipeline]) -> list[Pipeline]:
        """They fire no more; as they are known from then on."""
        behind = timedelta(seconds=max([guest.behind() for guest in self._guests()], default=0.0))
        ended = datetime.now(UTC) - max(CLOCKS_DIFFER, behind)
        known = []
        for pipeline in pipelines:
            wait_for("it is disabled", partial(self._has_disabled, pipeline.document.pipeline), 60)
            known.append(replace(pipeline, ended=ended, disabled=datetime.now(UTC)))
        return known

    def _has_disabled(self, pipeline: str) -> bool:
        """What was restarted just now may be slow to answer; asking twice changes nothing."""
        with suppress(httpx.TransportError):
            self.console.disable(pipeline)
            return True
        return False

    # -- those concerned ----------------------------------------------------------------------------------------

    @contextmanager
    def victim(self, chance: random.Random, *, guest: bool | None = None) -> Iterator[Worker]:
        """A worker that nobody else harms; whatever is done to it in the block counts as trouble, until it is well
        again afterwards. ``guest``: one with a kernel of its own, or without; None: either."""
        worker = self._take(chance, guest)
        since = datetime.now(UTC)
        try:
            yield worker
        finally:
            self._wait_online(worker)
            self.troubles.append(Trouble(worker.node, since, datetime.now(UTC) + RECOVERY))
            with self._freed:
                self._free.append(worker)
                self._freed.notify_all()

    def _take(self, chance: random.Random, guest: bool | None) -> Worker:
        def fitting() -> list[Worker]:
            return [worker for worker in self._free if guest is None or worker.is_guest == guest]

        with self._freed:
            if not self._freed.wait_for(fitting, 120):
                raise AssertionError("no worker is free to be harmed")
            worker = chance.choice(sorted(fitting(), key=lambda worker: worker.name))
            self._free.remove(worker)
            return worker

    @contextmanager
    def trouble_for_all(self, *, data: bool = False, scope: str = "shared") -> Iterator[None]:
        """What all need is harmed in the block; then all have to be well again."""
        since = datetime.now(UTC)
        try:
            yield
        finally:
            self.wait_workers()
            self.troubles.append(
                Trouble("", since, datetime.now(UTC) + RECOVERY, "all" if scope == "all" else "shared", data)
            )

    def leader(self) -> EtcdServer:
        """The etcd node that leads."""

        def probe() -> EtcdServer | None:
            return next((server for server in self.etcd if server.leads()), None)

        leader = wait_for("etcd has a leader", probe)
        assert leader is not None
        return leader

    def leading_master(self) -> Part:
        """The master that leads, by etcd's word."""

        def probe() -> Part | None:
            presence = self.view.leading_master()
            return next((part for part in self.masters if presence and part.host.name == presence.host), None)

        leader = wait_for("a master leads", probe, 60)
        assert leader is not None
        return leader

    def wait_ready(self) -> None:
        """The console, its database and etcd answer."""
        wait_for(f"the console is ready, see {self.web.log}", self._is_ready, READY_WITHIN)

    def wait_settled(self) -> None:
        """A new epoch has begun, and is old enough for claims."""
        epoch = wait_for("there is an epoch", self.view.epoch, 60)
        assert epoch is not None
        settled = epoch.settled_at
        wait_for("the epoch has settled", lambda: datetime.now(UTC) > settled, 60)

    def wait_workers(self) -> None:
        """All workers are online, since their last start."""
        for worker in self.workers:
            self._wait_online(worker)

    def _is_ready(self) -> bool:
        with suppress(httpx.HTTPError):
            return httpx.get(f"{self.console.url}/readyz", timeout=3).status_code == 200
        return False

    def _wait_online(self, worker: Worker) -> None:
        def probe() -> bool:
            presence = self.view.presence(worker.node)
            if presence is None or presence.started_at is None:
                return False
            # Its last start may have been told by another clock than ours.
            return presence.started_at.timestamp() > worker.part.began - 1

        wait_for(f"{worker.name} is online, see {worker.part.log}", probe, 90)

    @property
    def slow_nodes(self) -> frozenset[str]:
        """Those whose kernel is emulated."""
        return frozenset(worker.node for worker in self.workers if worker.is_guest)

    def _guests(self) -> list[Guest]:
        return [worker.part for worker in self.workers if isinstance(worker.part, Guest)]

    # -- afterwards ---------------------------------------------------------------------------------------------

    def happened(
        self, pipelines: Sequence[Pipeline], since: datetime, until: datetime, reasons: Sequence[str]
    ) -> Happened:
        """All that is known now of these pipelines, and what else ran since then."""
        names = [pipeline.document.pipeline for pipeline in pipelines]
        records = {name: record for name in names if (record := self.view.record(name)) is not None}
        # The account first: what has begun by now must have its row by then.
        executions = to_judge(self.account.executions(), names, since)
        entries = [entry(row) for name in names for row in self.console.runs(name, limit=500)]
        now = datetime.now(UTC)
        return Happened(until, entries, executions, records, list(self.troubles), now, reasons, self.slow_nodes)

    def jobs_left(self, within: float = 10.0) -> list[Violation]:
        """What still runs although every run has ended."""
        deadline = time.monotonic() + within
        while jobs := workers.jobs_of():
            if time.monotonic() > deadline:
                return [Violation("orphan", f"left although its run has ended: {job}") for job in jobs]
            time.sleep(0.1)
        return []

    def expect_no_jobs_of(self, worker: Worker, within: float = 3.0) -> None:
        """The worker is dead: so are its jobs, within seconds."""
        deadline = time.monotonic() + within
        while jobs := workers.jobs_of(worker.node):
            if time.monotonic() > deadline:
                self.orphans += [
                    Violation("orphan", f"outlived {worker.name}, which was killed: {job}") for job in jobs
                ]
                return
            time.sleep(0.1)
