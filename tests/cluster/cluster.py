"""A whole ECTS on three etcd nodes with TLS and passwords, its workers that can be killed, and what became of it."""

import time
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

from coordination import crypto, documents, fires
from coordination.documents import PipelineDocument
from coordination.errors import CoordinationError
from coordination.etcd import SyncEtcd
from coordination.keys import Keys
from tests import etcd_server
from tests.cluster.worker import Worker
from tests.endtoend.client import wait_for
from tests.endtoend.installation import Installation
from tests.etcd_security import Security
from tests.etcd_server import EtcdServer
from tests.faults.account import Account, Begun, Exclusive
from tests.faults.facts import Entry, Happened, Pipeline, Trouble, Violation, entry
from tests.faults.verdict import violations
from workers.engine import identity

SESSION_TTL = 15.0
"""Seconds: half of what it is in earnest; a claim needs at least 12."""

RECOVERY = timedelta(seconds=5)
"""A worker that is online again has its session, and has compared its clock, so much later."""


@dataclass(frozen=True, kw_only=True)
class Wish:
    """A pipeline to be made: it fires every ``period`` seconds (a divisor of 60) and its job takes ``takes``, or, when
    it is ``held``, until it is let go."""

    period: int = 1
    takes: float = 0.0
    held: bool = False
    placement: str = "one_spread"
    on_node_loss: str = "abandon"
    overlap: str = "allow"


class Cluster:
    """Use as a context: everything is started in ``directory``, and ended at the end of the block."""

    def __init__(self, directory: Path, workers: int, session_ttl: float = SESSION_TTL) -> None:
        self.directory = directory
        self.account = Account(directory)
        self.troubles: list[Trouble] = []
        self.workers = [Worker(f"w{number}", directory, session_ttl) for number in range(workers)]
        self.etcd: list[EtcdServer]
        self.console: Installation
        self._keys = Keys()
        self._gateway: SyncEtcd
        self._stack = ExitStack()

    def __enter__(self) -> "Cluster":
        with self._stack as stack:
            security = Security(self.directory / "papers")
            settings = security.server_settings()
            self.etcd = stack.enter_context(etcd_server.cluster(self.directory / "etcd", **settings))
            endpoints = [server.endpoint for server in self.etcd]
            security.switch_on(endpoints)
            self._gateway = SyncEtcd(security.settings(endpoints))
            stack.callback(self._gateway.close)
            self.console = Installation(self.directory / "var", security.environment(endpoints))
            stack.callback(self.console.stop)
            self.console.start()
            for worker in self.workers:
                token = self.console.post("enrolment-tokens/", {"uses": 1})["token"]
                worker.join(self.console.url, token)
                worker.start()
                stack.callback(worker.stop)
            for worker in self.workers:
                self._wait_online(worker)
            wait_for("all of them see all that they watch", self._connected)
            # Nothing went wrong: it is for the end of the block to close.
            self._stack = stack.pop_all()
        return self

    def __exit__(self, *error: object) -> None:
        self._stack.close()

    # -- pipelines ----------------------------------------------------------------------------------------------

    def pipeline(self, wish: Wish, workers: Sequence[Worker] = ()) -> Pipeline:
        """Makes a pipeline, bound to these workers, or else to all."""
        script = self.account.script(wish.takes, _exclusive(wish), wish.held)
        task = self.console.task("shell", script)
        nodes = [worker.node for worker in workers or self.workers]
        since = datetime.now(UTC)
        name = self.console.pipeline(
            f"*/{wish.period} * * * * *",
            [{"task": task, "position": 0}],
            nodes=nodes,
            placement=wish.placement,
            on_node_loss=wish.on_node_loss,
            overlap=wish.overlap,
        )
        document = wait_for("the document is in etcd", lambda: self._document(nodes[0], name))
        return Pipeline(document, tuple(nodes), wish.period, max(since, document.not_before))

    def _document(self, node: str, pipeline: str) -> PipelineDocument | None:
        item = self._read(self._keys.pipeline(node, pipeline))
        known = identity.load(self.workers[0].state_dir, identity.machine_id())
        assert known is not None
        if item is None:
            return None
        document = documents.decode_document(crypto.verify("pipeline", item, known.verify_keys))
        assert isinstance(document, PipelineDocument)
        return document

    def _read(self, key: str) -> bytes | None:
        try:
            item = self._gateway.get(key)
        except CoordinationError:
            return None
        return item.value if item else None

    # -- faults -------------------------------------------------------------------------------------------------

    @contextmanager
    def trouble(self, worker: Worker) -> Iterator[None]:
        """Whatever is done to this worker in the block counts as trouble, until it is well again afterwards."""
        since = datetime.now(UTC)
        try:
            yield
        finally:
            self._wait_online(worker)
            self.troubles.append(Trouble(worker.node, since, datetime.now(UTC) + RECOVERY))

    def worker(self, node: str) -> Worker:
        """By the id of its node."""
        return next(worker for worker in self.workers if worker.node == node)

    def _wait_online(self, worker: Worker) -> None:
        def probe() -> bool:
            item = self._read(self._keys.node(worker.node))
            return item is not None and documents.decode_presence(item).pid == worker.process.pid

        wait_for(f"{worker.name} is online, see {worker.log}", probe, 60)

    def _connected(self) -> bool:
        return all(node["etcd_connected"] for node in self.console.nodes())

    # -- afterwards ---------------------------------------------------------------------------------------------

    def going(self, pipeline: Pipeline) -> list[Begun]:
        """Jobs that have begun and not come to their end, whether they live or not."""
        return [begun for begun in self.begun(pipeline) if begun.ended is None]

    def begun(self, pipeline: Pipeline) -> list[Begun]:
        """All jobs of a pipeline."""
        return [begun for begun in self.account.executions() if begun.pipeline == pipeline.document.pipeline]

    def entries(self, pipeline: Pipeline) -> list[Entry]:
        """The ledger of a pipeline."""
        return [entry(row) for row in self.console.runs(pipeline.document.pipeline, limit=500)]

    def happened(self, pipelines: Sequence[Pipeline], until: datetime) -> Happened:
        """All that is known now."""
        records = {}
        for pipeline in pipelines:
            name = pipeline.document.pipeline
            if pipeline.is_shared and (item := self._read(self._keys.fires(name))) is not None:
                records[name] = fires.decode(item)
        # The account first: what has begun by now must have its row by then.
        executions = self.account.executions()
        entries = [item for pipeline in pipelines for item in self.entries(pipeline)]
        return Happened(until, entries, executions, records, self.troubles, datetime.now(UTC))

    def verdict(self, pipelines: Sequence[Pipeline], patience: float = 45.0) -> tuple[list[Violation], Happened]:
        """What is wrong with all instants up to now, once there was time to deliver, close and take over all that is
        outstanding: ``patience`` seconds."""
        until = datetime.now(UTC)
        deadline = time.monotonic() + patience
        while True:
            happened = self.happened(pipelines, until)
            found = violations(pipelines, happened)
            if not found or time.monotonic() > deadline:
                return found, happened
            time.sleep(1.0)

    def disable(self, pipelines: Sequence[Pipeline]) -> None:
        """They fire no more."""
        for pipeline in pipelines:
            self.console.disable(pipeline.document.pipeline)


def _exclusive(wish: Wish) -> Exclusive:
    if wish.placement == "every":
        return "no"
    return "pipeline" if wish.overlap == "skip" else "fire"
