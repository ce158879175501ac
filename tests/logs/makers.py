"""Nodes that send records through the real address, and records for them to send."""

import gzip
import json
import uuid
from datetime import UTC, datetime, timedelta
from typing import Any

from django.test import Client
from msgspec import Raw

from coordination import records
from coordination.records import IngestBatch, OutputRecord, Record, RunRecord, StepRecord
from workers.enrolment import digest_of
from workers.models import Node

NOON = datetime(2026, 3, 1, 12, 0, 0, tzinfo=UTC)
PIPELINE = str(uuid.UUID(int=7))


class Worker:
    """A node with a token, and one stream."""

    def __init__(self, name: str) -> None:
        self.token = f"token-of-{name}"
        self.node = Node.objects.create(name=name, token_digest=digest_of(self.token))
        self.stream = str(uuid.uuid4())
        self.client = Client()

    def post(self, body: bytes, **headers: str) -> Any:
        return self.client.post(
            "/api/v1/ingest/",
            body,
            content_type="application/json",
            headers={"Authorization": f"Node {self.token}", **headers},
        )

    def send(self, first: int, *sent: Record, **more: Any) -> dict[str, Any]:
        raw = tuple(Raw(records.encode(record)) for record in sent)
        batch = IngestBatch(stream=self.stream, kind="state", first=first, records=raw, **more)
        reply = self.post(gzip.compress(records.encode(batch)), **{"Content-Encoding": "gzip"})
        assert reply.status_code == 200, reply.content
        return json.loads(reply.content)


def run(number: int, state: str = "running", **more: Any) -> RunRecord:
    values: dict[str, Any] = {
        "run": str(uuid.UUID(int=number)),
        "pipeline": PIPELINE,
        "pipeline_name": "p",
        "state": state,
        "trigger": "schedule",
        "scheduled_at": NOON + timedelta(seconds=number),
    }
    return RunRecord(**values | more)


def step(number: int, state: str = "succeeded") -> StepRecord:
    return StepRecord(
        run=str(uuid.UUID(int=number)),
        index=0,
        position=1,
        task=3,
        task_name="t",
        kind="shell",
        state=state,  # type: ignore[arg-type]
    )


def output(number: int, piece: int, data: bytes, offset: int) -> OutputRecord:
    return OutputRecord(run=str(uuid.UUID(int=number)), index=0, number=piece, offset=offset, data=data)
