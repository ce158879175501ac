"""A real worker for the benches: its own process as the product starts it, a private etcd, a console that takes
everything in. What it ran is read from the records that it delivers, as the ledger would show it.
"""

import gzip
import json
import math
import os
import struct
import subprocess
import sys
import tempfile
import threading
import time
from base64 import b64encode
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from uuid import UUID

from msgspec import structs

from coordination import crypto, documents, records
from coordination.documents import PipelineDocument, StepDocument, TaskDocument
from coordination.keys import Keys
from coordination.records import AppliedRecord, Record, RunRecord
from tests.etcd_server import EtcdServer, running, wait_until
from workers.engine import identity
from workers.engine.journal_store import Store

NODE = "22222222-2222-2222-2222-222222222222"
ROOT = Path(__file__).resolve().parent.parent
PREFIX = "/ects"
PATIENCE = 300.0
"""Seconds that any one thing may take before the bench gives up."""

_BATCH = 100
"""Documents in one etcd transaction (at most 128 by default, 1.5 MB)."""


class Console:
    """Takes every record in. Nothing is decoded before it is asked for: the bench must not compete with the worker."""

    def __init__(self) -> None:
        self._bodies: list[bytes] = []
        self._read: list[Record] = []
        console = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["Content-Length"]))
                answer = console.take(body)
                # In one write: two would wait for each other (RFC 896 beside delayed acknowledgements).
                head = f"HTTP/1.1 200 OK\r\nContent-Length: {len(answer)}\r\n\r\n".encode()
                self.wfile.write(head + answer)

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._server.daemon_threads = True
        self.url = f"http://127.0.0.1:{self._server.server_port}"
        threading.Thread(target=self._server.serve_forever, daemon=True).start()

    def take(self, body: bytes) -> bytes:
        """The answer to a batch."""
        batch = records.decode_batch(gzip.decompress(body))
        self._bodies += [bytes(raw) for raw in batch.records]
        last = batch.first + len(batch.records) - 1
        return records.encode(records.IngestReply(sequence=last, server_time=datetime.now(UTC)))

    def count(self) -> int:
        """Records so far."""
        return len(self._bodies)

    def records(self) -> list[Record]:
        """All of them, in the order in which they came."""
        self._read += [records.decode_record(body) for body in self._bodies[len(self._read) :]]
        return self._read

    def close(self) -> None:
        """Ends the server."""
        self._server.shutdown()
        self._server.server_close()


@dataclass
class Worker:
    """A running worker. ``usage`` and ``resident`` look at its process."""

    process: subprocess.Popen[bytes]
    console: Console
    store: EtcdServer
    signer: crypto.Signer
    log: Path
    _generation: int = field(default_factory=lambda: int(time.time() * 1000))

    def publish(self, pipelines: Sequence[PipelineDocument]) -> None:
        """Puts documents into etcd, each of a new generation, and returns when the worker has applied them all."""
        self._generation += 1
        keys = Keys(PREFIX)
        for start in range(0, len(pipelines), _BATCH):
            puts = []
            for pipeline in pipelines[start : start + _BATCH]:
                key = keys.pipeline(NODE, pipeline.pipeline).encode()
                value = envelope(self.signer, pipeline, self._generation)
                puts.append({"requestPut": {"key": b64encode(key).decode(), "value": b64encode(value).decode()}})
            self.store.api("kv/txn", {"success": puts})
        wait_until(lambda: self._applied() >= len(pipelines), "the pipelines are applied", PATIENCE)

    def runs(self, scheduled_at: datetime) -> list[RunRecord]:
        """What the ledger says of the runs of this instant, in the order in which it was written."""
        return [r for r in self.console.records() if isinstance(r, RunRecord) and r.scheduled_at == scheduled_at]

    def ended(self, scheduled_at: datetime, count: int) -> list[RunRecord]:
        """The same, once ``count`` of them have succeeded."""

        def succeeded() -> list[RunRecord]:
            ended = [run for run in self.runs(scheduled_at) if run.state in records.TERMINAL]
            failed = [run for run in ended if run.state != "succeeded"]
            assert not failed, f"{len(failed)} fires did not run, the first: {failed[0]}"
            return ended if len(ended) >= count else []

        self.delivered()
        return wait_until(succeeded, f"{count} runs of {scheduled_at} have succeeded; see {self.log}", PATIENCE)

    def delivered(self) -> None:
        """Returns once no more records have come for a while. Reading them earlier would take the machine from the
        worker."""
        settled = -1
        while settled != self.console.count():
            settled = self.console.count()
            time.sleep(1)

    def cpu(self) -> float:
        """Seconds of processor time of the worker's own process, without its children (proc(5), stat)."""
        fields = Path(f"/proc/{self.process.pid}/stat").read_text().rpartition(")")[2].split()
        return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")

    def resident(self) -> float:
        """Megabytes (1,000,000 bytes) of its resident memory."""
        return int(Path(f"/proc/{self.process.pid}/statm").read_text().split()[1]) * os.sysconf("SC_PAGESIZE") / 1e6

    def _applied(self) -> int:
        generation = self._generation
        applied = (r for r in self.console.records() if isinstance(r, AppliedRecord))
        return sum(record.generation == generation for record in applied)


@contextmanager
def worker(
    *,
    remembered: Sequence[PipelineDocument] = (),
    module: str = "workers.engine",
    variables: dict[str, str] | None = None,
) -> Iterator[Worker]:
    """A worker that is ready, and stopped in order at the end.

    ``remembered``: documents that it finds in its journal, as after a restart. ``module``: what Python runs, for a
    worker that is watched from inside.
    """
    with tempfile.TemporaryDirectory(prefix="ects-bench-") as name:
        directory = Path(name)
        signer, console = crypto.Signer(os.urandom(32)), Console()
        with running(directory / "etcd") as store:
            state_dir = directory / "worker"
            _enrol(state_dir, console.url, store, signer)
            _remember(state_dir, signer, remembered)
            log = directory / "worker.log"
            command = [sys.executable, "-m", module, "--state-dir", str(state_dir)]
            environ = os.environ | {"PYTHONPATH": str(ROOT)} | (variables or {})
            with log.open("wb") as file:
                process = subprocess.Popen(command, cwd=ROOT, env=environ, stdin=subprocess.DEVNULL, stderr=file)
            try:
                wait_until(lambda: b" is ready" in log.read_bytes() or process.poll() is not None, "ready", PATIENCE)
                assert process.poll() is None, log.read_text()
                yield Worker(process, console, store, signer, log)
            finally:
                process.terminate()
                process.wait(PATIENCE)
                console.close()
            complaints = [line for line in log.read_text().splitlines() if " ERROR " in line or "Traceback" in line]
            assert not complaints, "\n".join(complaints[:5])


def pipeline(number: int, schedule: str, steps: Sequence[StepDocument] = ()) -> PipelineDocument:
    """The pipeline of this number, nothing of which is ever caught up."""
    return PipelineDocument(
        pipeline=str(UUID(int=number, version=4)),
        node=NODE,
        generation=1,
        not_before=datetime.now(UTC),
        name=f"pipeline {number}",
        schedule=schedule,
        steps=tuple(steps),
    )


def shell(script: str) -> tuple[StepDocument, ...]:
    """One shell step."""
    return (StepDocument(task=TaskDocument(id=1, name="script", kind="shell", content=script), position=1),)


def soon(seconds: float) -> datetime:
    """The first whole second that is at least so far away."""
    return datetime.now(UTC).replace(microsecond=0) + timedelta(seconds=seconds + 1)


def at(instant: datetime) -> str:
    """A schedule for this second of every year, as a cron line with seconds."""
    return f"{instant.second} {instant.minute} {instant.hour} {instant.day} {instant.month} *"


def envelope(signer: crypto.Signer, document: PipelineDocument, generation: int) -> bytes:
    """As it stands in etcd."""
    return signer.sign("pipeline", documents.encode(structs.replace(document, generation=generation)))


def read_starts(path: Path) -> list[float]:
    """Unix seconds at which programs were started, as ``bench._starts`` wrote them."""
    return [instant for (instant,) in struct.iter_unpack("d", path.read_bytes())]


def say(figure: str, value: float, unit: str, against: str, ratio: float) -> None:
    """One line of output."""
    line = {"figure": figure, "value": round(value, 3), "unit": unit, "against": against, "ratio": round(ratio, 3)}
    print(json.dumps(line), flush=True)


def percentile(values: Sequence[float], share: float) -> float:
    """The value that this share of the values does not exceed (nearest rank)."""
    return sorted(values)[max(math.ceil(share * len(values)) - 1, 0)]


def _enrol(state_dir: Path, url: str, store: EtcdServer, signer: crypto.Signer) -> None:
    private, _ = crypto.new_node_key()
    known = identity.Identity(
        node=NODE,
        name="bench",
        server_url=url,
        token="token",
        private_key=private,
        verify_keys={signer.key_id: signer.verify_key},
        store=identity.Etcd(endpoints=(store.endpoint,), prefix=PREFIX),
        machine_id=identity.machine_id(),
    )
    identity.save(state_dir, known)


def _remember(state_dir: Path, signer: crypto.Signer, pipelines: Sequence[PipelineDocument]) -> None:
    store = Store(state_dir / "journal.db")
    store.begin()
    for document in pipelines:
        store.put_document(document.pipeline, 1, envelope(signer, document, 1))
    store.commit()
    store.close()
