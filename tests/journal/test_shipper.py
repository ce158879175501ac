"""Delivery to a real HTTP server that fails in every way a console can."""

import asyncio
import gzip
import json
import threading
from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from contextlib import aclosing, asynccontextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest
from msgspec import Raw

from coordination import records
from coordination.records import AppliedRecord, NodeReport
from workers.engine.clock import SystemClock
from workers.engine.courier import Direct
from workers.engine.journal import Journal
from workers.engine.shipper import Shipper

pytestmark = pytest.mark.anyio


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"


class QuickClock(SystemClock):
    """The machine's clock, on which all pauses are short."""

    async def sleep(self, seconds: float) -> None:
        await asyncio.sleep(min(seconds, 0.01))


@dataclass
class Console:
    """Takes batches as ingest does: ``taken`` holds the generations, in order. ``faults`` answer first, one each."""

    taken: list[int] = field(default_factory=list)
    sequence: int = 0
    refuses: set[int] = field(default_factory=set)
    faults: list[int | str] = field(default_factory=list)
    breaks_on: int | None = None
    skew: float = 0.0
    batches: int = 0
    word: str = ""
    wakes: threading.Event = field(default_factory=threading.Event)

    def answer(self, body: bytes) -> tuple[int, dict[str, Any]]:
        batch = records.decode_batch(gzip.decompress(body))
        now = (datetime.now(UTC) + timedelta(seconds=self.skew)).isoformat()
        if not batch.stream:
            return 200, {"sequence": 0, "server_time": now, "node": self.word}
        self.batches += 1
        sent = [records.decode_record(raw) for raw in batch.records]
        generations = [record.generation if isinstance(record, AppliedRecord) else -1 for record in sent]
        if self.breaks_on in generations:
            if len(generations) > 1:
                return 500, {}
            return 200, {"sequence": self.sequence, "server_time": now, "refused": batch.first, "reason": "no"}
        for number, generation in enumerate(generations):
            if generation in self.refuses:
                refused = batch.first + number
                return 200, {"sequence": self.sequence, "server_time": now, "refused": refused, "reason": "no"}
        for number, generation in enumerate(generations):
            if batch.first + number == self.sequence + 1:
                self.sequence += 1
                self.taken.append(generation)
        return 200, {"sequence": self.sequence, "server_time": now, "node": self.word}


@pytest.fixture
def console() -> Iterator[tuple[Console, str]]:
    state = Console()

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["Content-Length"]))
            fault = state.faults.pop(0) if state.faults else 0
            if isinstance(fault, int) and fault:
                return self.reply(fault, {})
            if fault == "hangs":
                state.wakes.wait()
            status, answer = state.answer(body)
            if fault == "lost":
                return self.connection.close()
            return self.reply(status, answer)

        def reply(self, status: int, answer: dict[str, Any]) -> None:
            data = json.dumps(answer).encode()
            self.send_response(status)
            self.send_header("Content-Length", str(len(data)))
            self.end_headers()
            self.wfile.write(data)

        def log_message(self, *arguments: Any) -> None:
            """Quiet."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield state, f"http://127.0.0.1:{server.server_port}"
    state.wakes.set()
    server.shutdown()
    server.server_close()


@dataclass
class Recipient:
    server_url: str
    token: str = "secret-token"
    former: str = ""
    told_of: list[str] = field(default_factory=list)

    def rejected(self) -> None:
        if self.former:
            self.token, self.former = self.former, self.token

    async def told(self, envelope: str) -> None:
        self.told_of.append(envelope)


class Observed:
    """What the shipper tells of its deliveries."""

    def __init__(self) -> None:
        self.skew: float | None = None
        self.generations: list[int] = []

    def measured(self, skew: float) -> None:
        self.skew = skew

    def delivered(self, raw: Sequence[Raw]) -> None:
        found = (records.decode_record(body) for body in raw)
        self.generations += [record.generation for record in found if isinstance(record, AppliedRecord)]


@asynccontextmanager
async def shipping(
    path: Path, url: str, count: int, recipient: Recipient | None = None
) -> AsyncIterator[tuple[Shipper, Journal]]:
    journal = Journal(path / "journal.db", clock=QuickClock())
    await journal.open()
    await journal.state(*(AppliedRecord(pipeline="p", generation=i) for i in range(count)))
    async with aclosing(Direct({}, QuickClock())) as courier:
        recipient = recipient or Recipient(url)
        shipper = Shipper(journal, recipient, courier, QuickClock(), NodeReport, Observed())
        task = asyncio.create_task(shipper.run())
        yield shipper, journal
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
    await journal.close()


async def until(condition: Callable[[], object]) -> None:
    async with asyncio.timeout(60):
        while not condition():
            await asyncio.sleep(0.005)


@pytest.mark.parametrize("faults", [[], [500, 503], ["lost"], ["lost", 500, "lost"], [401], [404, 302]])
async def test_everything_arrives_once_and_in_order(
    tmp_path: Path, console: tuple[Console, str], faults: list[int | str]
) -> None:
    state, url = console
    state.faults = list(faults)
    async with shipping(tmp_path, url, 1200) as (shipper, journal):
        await until(lambda: journal.backlog().records == 0)
        assert shipper.incidents() == ()
    assert state.taken == list(range(1200))


async def test_an_absent_console_is_an_incident_until_it_is_back(tmp_path: Path, console: tuple[Console, str]) -> None:
    state, url = console
    async with shipping(tmp_path, "http://127.0.0.1:1", 3) as (shipper, journal):
        await until(lambda: bool(shipper.incidents()))
        assert "cannot be reached" in shipper.incidents()[0]
        assert "secret-token" not in shipper.incidents()[0]
        shipper._recipient = Recipient(url)
        await until(lambda: journal.backlog().records == 0)
        assert shipper.incidents() == ()
    assert state.taken == [0, 1, 2]


async def test_a_revoked_token_says_what_to_do(tmp_path: Path, console: tuple[Console, str]) -> None:
    state, url = console
    state.faults = [401] * 1000
    async with shipping(tmp_path, url, 1) as (shipper, journal):
        await until(lambda: bool(shipper.incidents()))
        assert "enrol the node again" in shipper.incidents()[0]
        assert journal.backlog().records == 1


async def test_a_refused_record_does_not_hold_up_the_rest(tmp_path: Path, console: tuple[Console, str]) -> None:
    state, url = console
    state.refuses = {3}
    async with shipping(tmp_path, url, 6) as (_, journal):
        await until(lambda: journal.backlog().records == 0)
    assert state.taken == [0, 1, 2, -1, 4, 5]


async def test_one_record_that_breaks_the_server_is_found(tmp_path: Path, console: tuple[Console, str]) -> None:
    state, url = console
    state.breaks_on = 37
    async with shipping(tmp_path, url, 100) as (_, journal):
        await until(lambda: journal.backlog().records == 0)
    assert state.taken == [*range(37), -1, *range(38, 100)]


async def test_a_restored_console_gets_again_what_it_lacks(tmp_path: Path, console: tuple[Console, str]) -> None:
    state, url = console
    async with shipping(tmp_path, url, 10) as (_, journal):
        await until(lambda: journal.backlog().records == 0)
        state.sequence, state.taken = 4, state.taken[:4]
        await journal.state(AppliedRecord(pipeline="p", generation=10))
        await until(lambda: state.taken == list(range(11)))


async def test_the_clocks_difference_is_measured(tmp_path: Path, console: tuple[Console, str]) -> None:
    state, url = console
    state.skew = -7
    async with shipping(tmp_path, url, 1) as (shipper, journal):
        await until(lambda: journal.backlog().records == 0)
        assert shipper.skew is not None
        assert 6.5 < shipper.skew < 7.5


async def test_a_stopping_worker_delivers_what_it_has(tmp_path: Path, console: tuple[Console, str]) -> None:
    state, url = console
    journal = Journal(tmp_path / "journal.db", clock=QuickClock())
    await journal.open()
    await journal.state(*(AppliedRecord(pipeline="p", generation=i) for i in range(1200)))
    async with aclosing(Direct({}, QuickClock())) as courier:
        observed = Observed()
        await Shipper(journal, Recipient(url), courier, QuickClock(), NodeReport, observed).drain(10)
    await journal.close()
    assert state.taken == observed.generations == list(range(1200))
    assert observed.skew is not None


async def test_a_stopping_worker_waits_for_no_console_that_hangs(tmp_path: Path, console: tuple[Console, str]) -> None:
    state, url = console
    state.faults = ["hangs"]
    journal = Journal(tmp_path / "journal.db", clock=QuickClock())
    await journal.open()
    await journal.state(AppliedRecord(pipeline="p", generation=1))
    for seconds, left in ((0.1, 1), (10, 0)):
        async with aclosing(Direct({}, QuickClock())) as courier, asyncio.timeout(60):
            await Shipper(journal, Recipient(url), courier, QuickClock(), NodeReport, Observed()).drain(seconds)
        assert journal.backlog().records == left
        state.wakes.set()
    await journal.close()
    assert state.taken == [1]


async def test_what_the_console_wants_of_the_node_is_handed_on(tmp_path: Path, console: tuple[Console, str]) -> None:
    state, url = console
    state.word = "a signed word"
    recipient = Recipient(url)
    async with shipping(tmp_path, url, 1, recipient):
        await until(lambda: recipient.told_of)
    assert recipient.told_of[0] == "a signed word"


async def test_the_token_before_is_tried_when_the_newest_is_refused(
    tmp_path: Path, console: tuple[Console, str]
) -> None:
    state, url = console
    state.faults = [401]
    recipient = Recipient(url, "newest", "before")
    async with shipping(tmp_path, url, 5, recipient) as (_, journal):
        await until(lambda: journal.backlog().records == 0)
    assert recipient.token == "before"
