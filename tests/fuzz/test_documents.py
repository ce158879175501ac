"""Documents that a worker finds in etcd: bytes of anybody's, and signed ones with anything in them. Each is applied or
refused with a reason; the worker goes on, and takes the next right one."""

import asyncio
from contextlib import suppress
from datetime import timedelta
from pathlib import Path
from typing import Any

from hypothesis import given
from hypothesis import strategies as st
from msgspec import json

from coordination import crypto, documents
from coordination.documents import PipelineDocument, StepDocument, TaskDocument, Tombstone
from coordination.gateway import Event, KeyValue
from tests.fuzz.amount import oddly
from tests.fuzz.shapes import spoilt
from tests.plan.test_changeover import KEYS, NODE, NOON, PIPELINE, SIGNER, Node, SetClock
from workers.engine.journal import Journal

TASK = TaskDocument(id=1, name="t", kind="shell", content="true")
PIPELINES = st.builds(
    PipelineDocument,
    pipeline=st.just(PIPELINE),
    node=st.just(NODE),
    generation=st.integers(1, 1000),
    not_before=st.just(NOON),
    name=st.text(max_size=10),
    schedule=st.sampled_from(["* * * * * *", "0 0 * * *", "@every 90s", "@manual", "@at 2027-01-01T00:00:00Z"]),
    timezone=st.sampled_from(["UTC", "Europe/Berlin"]),
    placement=st.sampled_from(["every", "one_sticky", "one_spread"]),
    starts_at=st.none() | st.just(NOON),
    steps=st.just((StepDocument(task=TASK, position=1, environment={"A": "b"}),)),
    on_failure=st.none() | st.just(TASK),
    blackouts=st.just(()) | st.just(({"name": "x", "timezone": "UTC", "dates": [{"date": "12-25"}]},)),
    secrets=st.just({}) | st.just({"X": "AAAA"}),
)  # fmt: skip
TOMBSTONES = st.builds(
    Tombstone,
    pipeline=st.just(PIPELINE),
    node=st.just(NODE),
    generation=st.integers(1, 1000),
    reason=st.just("deleted"),
)
RIGHT = st.one_of(PIPELINES, TOMBSTONES).map(lambda document: json.decode(documents.encode(document)))
DEEP = st.sampled_from("{[").map(lambda sign: sign * 100_000)
ANYBODYS = st.one_of(st.binary(max_size=200), RIGHT.map(json.encode), DEEP.map(str.encode))


@st.composite
def signed(draw: Any) -> bytes:
    """As the console would sign it, whatever it is."""
    body = draw(st.one_of(spoilt(RIGHT).map(json.encode), st.text(max_size=100).map(str.encode), DEEP.map(str.encode)))
    return SIGNER.sign("pipeline", body)


@oddly
@given(values=st.lists(st.one_of(signed(), ANYBODYS), min_size=1, max_size=4))
def test_a_worker_goes_on_whatever_it_finds(values: list[bytes], tmp_path_factory: Any) -> None:
    asyncio.run(_life(values, tmp_path_factory.mktemp("journal")))


async def _life(values: list[bytes], directory: Path) -> None:
    clock = SetClock()
    node = Node(Journal(directory / "journal.db", clock=clock), clock)
    await node.begin()
    try:
        key = KEYS.pipeline(NODE, PIPELINE)
        for number, value in enumerate(values):
            item = KeyValue(key, value, number + 1, number + 1, 1)
            await node.definitions.events([Event("put", item)])
            await node.until(number + 1)
        node.clock.wall += timedelta(days=2)
        node.plan.due(node.clock.wall)
        generation = max(held for _, held in [("", 0), *(await node.journal.generations()).items()])
        right = PipelineDocument(
            pipeline=PIPELINE, node=NODE, generation=generation + 1, not_before=NOON, name="right", schedule="@hourly",
            steps=(StepDocument(task=TASK, position=1),),
        )  # fmt: skip
        envelope = SIGNER.sign("pipeline", documents.encode(right))
        await node.definitions.events([Event("put", KeyValue(key, envelope, 100, 100, 1))])
        assert (await node.journal.generations())[PIPELINE] == generation + 1
    finally:
        await node.end()


@oddly
@given(data=st.one_of(st.binary(max_size=300), signed()), kind=st.sampled_from(["pipeline", "command", "config"]))
def test_an_envelope_is_verified_or_refused(data: bytes, kind: Any) -> None:
    with suppress(crypto.Refused):
        crypto.verify(kind, data, {SIGNER.key_id: SIGNER.verify_key})
        assert kind == "pipeline", "what is signed for one purpose holds for no other"
