"""One of everything, with every field of version 0.1.0 that is not its default."""

from datetime import UTC, datetime

from coordination.documents import MailSettings, PipelineDocument, StepDocument, TaskDocument
from coordination.records import (
    AppliedRecord,
    CutRecord,
    GapRecord,
    OutputRecord,
    Record,
    RefusedRecord,
    RunRecord,
    SetAsideRecord,
    StepRecord,
    Try,
)

SIGNER = bytes(range(32))
"""The seed of the key that signs the samples, and nothing else in the world."""

AT = datetime(2026, 3, 1, 12, tzinfo=UTC)
NODE = "11111111-1111-4111-8111-111111111111"
PIPELINE = "22222222-2222-4222-8222-222222222222"
RUN = "01a221cc-3db8-8a3a-bcda-8f2cd5c94145"


def document() -> PipelineDocument:
    """Everything that a pipeline can say."""
    shell = TaskDocument(id=1, name="load", kind="shell", content="echo {{ secrets.FRUIT }}", interpreter="/bin/bash")
    http = TaskDocument(id=2, name="call", kind="http", url="https://a.test", method="POST", headers={"A": "b"})
    mail = TaskDocument(id=3, name="tell", kind="mail", recipients=("a@b.test",), subject="s", content="t")
    limits = {"memory": 1 << 30, "cpu_seconds": 60, "open_files": 100, "processes": 10, "nice": 5, "umask": "027"}
    return PipelineDocument(
        pipeline=PIPELINE,
        node=NODE,
        generation=7,
        not_before=AT,
        name="nightly",
        schedule="0 30 2 * * *",
        timezone="Asia/Shanghai",
        misfire="latest",
        overlap="queue",
        placement="every",
        timeout=600,
        steps=(
            StepDocument(task=shell, position=0, timeout=60, retries=2, interval=5, environment={"B": "c"}, **limits),
            StepDocument(task=http, position=1, dependence="weak"),
        ),
        on_failure=mail,
        secrets={"FRUIT": "sealed"},
        mail=MailSettings(host="mail.test", port=587, user="u", tls="starttls", sender="e@b.test"),
        digest="d",
    )


def every_record() -> list[Record]:
    """One of each kind; the second run has no end."""
    other = RUN[:-1] + "6"
    run = {"pipeline": PIPELINE, "pipeline_name": "nightly", "scheduled_at": AT, "generation": 7}
    step = {"run": RUN, "position": 0, "task": 1, "task_name": "load", "kind": "shell"}
    return [
        RunRecord(run=RUN, state="succeeded", trigger="schedule", started_at=AT, finished_at=AT, **run),
        StepRecord(
            index=0, state="succeeded", attempts=2, exit_code=0, started_at=AT, finished_at=AT, output_bytes=5,
            tries=(Try(started_at=AT, finished_at=AT, reason="it failed"),), **step,
        ),
        OutputRecord(run=RUN, index=0, number=0, offset=0, data=b"hello"),
        CutRecord(run=RUN, index=0, begin=1, end=2),
        AppliedRecord(pipeline=PIPELINE, generation=7),
        RefusedRecord(key=f"/ects/pipelines/{NODE}/x", reason="bad", at=AT),
        GapRecord(count=2, reason="lost", spans=1),
        SetAsideRecord(kind="run", reason="no"),
        RunRecord(run=other, state="running", trigger="manual", started_at=AT, **run),
    ]  # fmt: skip
