"""Bench of taking results in: the ingest endpoint of the real web process, beside bulk_create of the same rows.

Prints one JSON object a line: {"figure", "value", "unit", "against", "ratio"}. The ratio is our rate divided by that
of the ORM, which writes the same rows in batches of the same size, each a transaction, without HTTP and without any
check; measured in turns within one run, in one database: the median of the turns.
``--backlog``: a worker's journal with 100,000 runs is delivered while new runs keep coming; the ratio is the rate of
delivery divided by that of what comes.

The database is SQLite, or what ECTS_DATABASE_URL names, or with ``--mariadb`` a private MariaDB.
"""

import argparse
import asyncio
import gzip
import http.client
import json
import os
import secrets
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import uuid
from collections.abc import Iterator, Sequence
from contextlib import aclosing
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from statistics import median
from time import monotonic, perf_counter, sleep
from typing import Any

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))

if "--mariadb" in sys.argv:
    again = [sys.executable, *(word for word in sys.argv if word != "--mariadb")]
    os.execvp("bash", ["bash", "-c", 'source scripts/lib/development.sh; with_mariadb "$@"', "bash", *again])

import django  # noqa: E402

DIRECTORY = tempfile.TemporaryDirectory()
os.environ |= {
    "DJANGO_SETTINGS_MODULE": "ects_site.settings",
    "ECTS_DATA_DIR": DIRECTORY.name,
    "ECTS_DATABASE_URL": os.environ.get("ECTS_DATABASE_URL", f"sqlite:///{DIRECTORY.name}/ects.sqlite3"),
    "ECTS_LOG_LEVEL": "ERROR",
}
django.setup()

from django.core.management import call_command  # noqa: E402 - the settings come first
from django.db import transaction  # noqa: E402
from msgspec import Raw  # noqa: E402

from coordination import records  # noqa: E402
from coordination.identity import fire_run_id  # noqa: E402
from coordination.records import IngestBatch, NodeReport, OutputRecord, Record, RunRecord, StepRecord  # noqa: E402
from logs.models import Output, Run, StepRun  # noqa: E402
from workers.engine.clock import SystemClock  # noqa: E402
from workers.engine.courier import Direct  # noqa: E402
from workers.engine.journal import Journal  # noqa: E402
from workers.engine.shipper import MOST, Shipper  # noqa: E402
from workers.enrolment import digest_of  # noqa: E402
from workers.models import Node  # noqa: E402

START = datetime(2026, 1, 1, tzinfo=UTC)
PIPELINES = [str(uuid.UUID(int=number)) for number in range(50)]
WRITTEN = b"2026-01-01 00:00:00 backup of /srv/data: 1,204 files, 18 new, nothing wrong\n" * 4
NODES = 4
NEW_RATE = 200
"""Runs a second that begin while a backlog is delivered."""


@dataclass
class Sender:
    """A node and its connection."""

    port: int
    token: str = field(default_factory=lambda: secrets.token_hex(16))
    node: Node = field(init=False)

    def __post_init__(self) -> None:
        self.node = Node.objects.create(name=f"node-{self.token}", token_digest=digest_of(self.token))
        self._connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=60)

    def post(self, bodies: Sequence[bytes]) -> None:
        """One after the other, each as a worker sends it."""
        for body in bodies:
            headers = {"Authorization": f"Node {self.token}", "Content-Encoding": "gzip"}
            self._connection.request("POST", "/api/v1/ingest/", body, headers)
            reply = records.decode_reply(self._connection.getresponse().read())
            assert reply.refused is None, reply.reason


class Web:
    """The web process as ``manage.py single`` starts it."""

    def __init__(self) -> None:
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            self.port = probe.getsockname()[1]
        command = [sys.executable, "-m", "gunicorn", "--config", str(ROOT / "ects_site" / "web_server.py")]
        command += ["--bind", f"127.0.0.1:{self.port}", "--threads", "16", "--log-level", "warning"]
        self._process = subprocess.Popen(command)

    def wait(self) -> None:
        """Until it answers."""
        deadline = monotonic() + 60
        while True:
            try:
                with socket.create_connection(("127.0.0.1", self.port)):
                    return
            except OSError:
                assert monotonic() < deadline, "the web process does not answer"
                assert self._process.poll() is None, "the web process has ended"
                sleep(0.05)

    def stop(self) -> None:
        """Gracefully."""
        self._process.send_signal(signal.SIGTERM)
        self._process.wait(30)


class Source:
    """Runs that nobody has seen yet, each with a step and a piece of output."""

    def __init__(self) -> None:
        self._made = 0

    def runs(self, count: int) -> list[tuple[RunRecord, StepRecord, OutputRecord]]:
        """Ended ones."""
        return [self._one() for _ in range(count)]

    def _one(self) -> tuple[RunRecord, StepRecord, OutputRecord]:
        self._made += 1
        due, pipeline = START + timedelta(seconds=self._made / 20), PIPELINES[self._made % len(PIPELINES)]
        name = fire_run_id(pipeline, due, "node")
        begun, ended = due + timedelta(milliseconds=3), due + timedelta(milliseconds=self._made % 3000)
        run = RunRecord(
            run=name,
            pipeline=pipeline,
            pipeline_name="nightly backup",
            state="succeeded" if self._made % 20 else "failed",
            trigger="schedule",
            scheduled_at=due,
            generation=1_760_000_000_000,
            started_at=begun,
            finished_at=ended,
        )
        step = StepRecord(
            run=name, index=0, position=1, task=7, task_name="copy", kind="shell", state="succeeded", attempts=1,
            exit_code=0, started_at=begun, finished_at=ended, output_bytes=len(WRITTEN),
        )  # fmt: skip
        return run, step, OutputRecord(run=name, index=0, number=0, offset=0, data=WRITTEN)


Made = list[tuple[RunRecord, StepRecord, OutputRecord]]


def chunks(made: Sequence[Any], size: int) -> Iterator[Any]:
    return (made[start : start + size] for start in range(0, len(made), size))


def bodies(made: Made, *, beginnings: bool) -> list[bytes]:
    """What a worker posts of them: states and output in streams of their own, ``MOST`` records a batch."""
    states: list[Record] = []
    for run, step, _ in made:
        if beginnings:
            states += [begun(run), begun(step)]
        states += [step, run]
    packed = [list(_batches("state", states)), list(_batches("output", [output for _, _, output in made]))]
    return [body for stream in packed for body in stream]


def begun(record: Any) -> Any:
    """The record that was sent when it began."""
    values = {name: getattr(record, name) for name in record.__struct_fields__}
    changes = {"state": "running", "finished_at": None, "exit_code": None, "output_bytes": 0}
    return type(record)(**values | {name: value for name, value in changes.items() if name in values})


def _batches(kind: Any, sent: Sequence[Record]) -> Iterator[bytes]:
    stream, first = str(uuid.uuid4()), 1
    for part in chunks(sent, MOST):
        raw = tuple(Raw(records.encode(record)) for record in part)
        report = NodeReport(version="1.0", clock=datetime.now(UTC), running=3, capacity=256)
        batch = IngestBatch(stream=stream, kind=kind, first=first, records=raw, report=report)
        yield gzip.compress(records.encode(batch), compresslevel=1)
        first += len(part)


def bulk(made: Made, node: Node) -> float:
    """Rows a second of the bare ORM, from values that are in memory."""
    runs = [{name: getattr(run, name) for name in run.__struct_fields__} for run, _, _ in made]
    for values in runs:
        values |= {"uuid": uuid.UUID(values.pop("run")), "pipeline": uuid.UUID(values["pipeline"])}
        values |= {"node": node.pk, "node_name": node.name}
    steps = [{name: getattr(step, name) for name in step.__struct_fields__} for _, step, _ in made]
    outputs = [{name: getattr(output, name) for name in output.__struct_fields__} for _, _, output in made]
    for values in [*steps, *outputs]:
        values["run"] = uuid.UUID(values["run"])
    for values in steps:
        values["run_id"] = values.pop("run")
    begin = perf_counter()
    half = MOST // 2
    for some_runs, some_steps in zip(chunks(runs, half), chunks(steps, half), strict=True):
        with transaction.atomic():
            Run.objects.bulk_create([Run(**values) for values in some_runs])
            StepRun.objects.bulk_create([StepRun(**values) for values in some_steps])
    for some in chunks(outputs, MOST):
        with transaction.atomic():
            Output.objects.bulk_create([Output(**values) for values in some])
    return 3 * len(made) / (perf_counter() - begin)


def ingest(senders: Sequence[Sender], source: Source, count: int, *, beginnings: bool = False) -> float:
    """Rows a second that come to stand in the database, all nodes together."""
    packed = [bodies(source.runs(count // len(senders)), beginnings=beginnings) for _ in senders]
    threads = [threading.Thread(target=sender.post, args=[sent]) for sender, sent in zip(senders, packed, strict=True)]
    before = Run.objects.count()
    begin = perf_counter()
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    took = perf_counter() - begin
    assert Run.objects.count() - before == count, "runs are missing"
    return 3 * count / took


def say(figure: str, value: float, against: str, ratio: float, unit: str = "rows/s") -> None:
    line = {"figure": figure, "value": round(value), "unit": unit, "against": against, "ratio": round(ratio, 3)}
    print(json.dumps(line), flush=True)


def speed(web: Web, source: Source, count: int, turns: int) -> None:
    """Ours and the ORM's in turns; the first turn warms up."""
    senders = [Sender(web.port) for _ in range(NODES)]
    ways: dict[str, Any] = {
        "bulk_create": lambda: bulk(source.runs(count), senders[0].node),
        "ingest, one node": lambda: ingest(senders[:1], source, count),
        f"ingest, {NODES} nodes at once": lambda: ingest(senders, source, count),
        "ingest, one node, beginnings and ends": lambda: ingest(senders[:1], source, count, beginnings=True),
    }
    rates: dict[str, list[float]] = {name: [] for name in ways}
    for _ in range(turns + 1):
        for name, way in ways.items():
            rates[name].append(way())
    bare = rates["bulk_create"]
    for name, measured in rates.items():
        # Turn by turn: a machine that has other work to do is slow for both.
        ratio = median(ours / others for ours, others in zip(measured[1:], bare[1:], strict=True))
        say(name, median(measured[1:]), "bulk_create of the same rows", ratio)


class Observed:
    """Counts nothing."""

    def measured(self, skew: float) -> None: ...

    def delivered(self, raw: Sequence[Raw]) -> None: ...


@dataclass
class Recipient:
    server_url: str
    token: str

    def rejected(self) -> None:
        """No other is there."""

    async def told(self, envelope: str) -> None:
        """Nothing is to be told."""


async def backlog(web: Web, source: Source, count: int) -> None:
    """The worker's own journal and shipper, and new runs all the while."""
    clock, sender = SystemClock(), Sender(web.port)
    journal = Journal(Path(DIRECTORY.name) / "journal.db", clock=clock)
    await journal.open()
    held = Run.objects.count()
    for some in chunks(source.runs(count), 1000):
        await _journal(journal, some)
    waiting = journal.backlog().records
    async with aclosing(Direct({}, clock)) as courier:
        recipient = Recipient(f"http://127.0.0.1:{web.port}", sender.token)
        shipper = Shipper(journal, recipient, courier, clock, NodeReport, Observed())
        begin, came = perf_counter(), 0
        shipping = asyncio.create_task(shipper.run())
        while journal.backlog().records > NEW_RATE * 4:
            await asyncio.sleep(max(0.0, begin + came / NEW_RATE - perf_counter()))
            await _journal(journal, source.runs(NEW_RATE // 10))
            came += NEW_RATE // 10
        took = perf_counter() - begin
        shipping.cancel()
        await asyncio.gather(shipping, return_exceptions=True)
        await shipper.drain(60)
    await journal.close()
    assert await asyncio.to_thread(Run.objects.count) == held + count + came, "runs are missing"
    coming = waiting / count * came / took
    rate = waiting / took + coming
    say(f"backlog of {count} runs", rate, f"{came / took:.0f} new runs a second", rate / coming, "records/s")


async def _journal(journal: Journal, made: Made) -> None:
    """As execution writes them: the beginning, the output, the end."""
    await journal.state(*(record for run, step, _ in made for record in (begun(run), begun(step))))
    for _, _, output in made:
        await journal.output(output)
    await journal.state(*(record for run, step, _ in made for record in (step, run)))


def main() -> None:
    """Rates, or with ``--backlog`` the delivery of a backlog; ``--quick``: less of each."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="fewer rows")
    parser.add_argument("--backlog", action="store_true", help="deliver a journal of 100,000 runs (--quick: 10,000)")
    parser.add_argument("--mariadb", action="store_true", help="on a private MariaDB")
    options = parser.parse_args()
    call_command("migrate", verbosity=0)
    web, source = Web(), Source()
    try:
        web.wait()
        if options.backlog:
            os.environ["DJANGO_ALLOW_ASYNC_UNSAFE"] = "true"
            asyncio.run(backlog(web, source, 10_000 if options.quick else 100_000))
        else:
            speed(web, source, *((2000, 2) if options.quick else (10_000, 5)))
    finally:
        web.stop()


if __name__ == "__main__":
    main()
