"""What comes to the ingest endpoint with a right token: batches spoilt anywhere, and bytes of any kind. Never a 500; a
refused record is named; the next right batch is taken."""

import gzip
import tracemalloc
import uuid
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec import json

from coordination import records
from coordination.records import AppliedRecord, CutRecord, GapRecord, RefusedRecord, SetAsideRecord
from tests.fuzz.amount import oddly
from tests.fuzz.shapes import spoilt
from tests.logs.makers import NOON, PIPELINE, Worker, output, run, step

pytestmark = pytest.mark.django_db

RECORDS = [
    run(1),
    run(2, "succeeded", started_at=NOON, finished_at=NOON, count=3, until=NOON),
    step(1),
    output(1, 0, b"hello", 0),
    CutRecord(run=str(uuid.UUID(int=1)), index=0, begin=1, end=3),
    AppliedRecord(pipeline=PIPELINE, generation=3),
    RefusedRecord(key="/ects/pipelines/a/b", reason="unsigned", at=NOON),
    GapRecord(count=4, spans=2, reason="pruned"),
    SetAsideRecord(kind="run", reason="x"),
]
BATCHES = st.fixed_dictionaries(
    {
        "stream": st.just(str(uuid.UUID(int=77))),
        "kind": st.sampled_from(["state", "output"]),
        "first": st.integers(0, 5),
        "records": st.lists(st.sampled_from(RECORDS).map(lambda one: json.decode(records.encode(one))), max_size=4),
        "report": st.just({"version": "1", "running": 0, "incidents": ["x"], "clock": "2026-03-01T12:00:00Z"}),
    }
)
BODIES = st.one_of(
    spoilt(BATCHES, most=4).map(json.encode), st.binary(max_size=100), st.text(max_size=50).map(str.encode)
)


def after_all(worker: Worker) -> None:
    """The worker's own next batch is taken."""
    worker.stream = str(uuid.uuid4())
    assert worker.send(1, run(9, "succeeded", run=str(uuid.uuid4())))["sequence"] == 1


@oddly
@given(bodies=st.lists(BODIES, min_size=1, max_size=5), packed=st.booleans())
def test_any_batch_is_taken_or_refused(bodies: list[bytes], packed: bool) -> None:
    name = f"node-{uuid.uuid4()}"
    worker = Worker(name)
    for body in bodies:
        sent = gzip.compress(body) if packed else body
        reply = worker.post(sent, **({"Content-Encoding": "gzip"} if packed else {}))
        assert reply.status_code in (200, 400), reply.content
        if reply.status_code == 200:
            told: dict[str, Any] = reply.json()
            assert isinstance(told["sequence"], int)
            assert told.get("refused") is None or told["reason"]
    after_all(worker)


def test_a_bomb_takes_no_memory() -> None:
    """A gigabyte of spaces in a megabyte of gzip."""
    worker = Worker("one")
    packer = gzip.compress(b" " * (1 << 20)) * 1024
    tracemalloc.start()
    reply = worker.post(packer, **{"Content-Encoding": "gzip"})
    _size, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert reply.status_code == 400
    assert peak < 64 << 20, f"{peak} bytes"
    after_all(worker)
