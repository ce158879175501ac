"""What earlier versions have sent, kept and signed is taken by this one; what later versions send is taken as far as it
is understood, and else refused by a sentence that says what to do. The files in the folders are of those versions."""

import shutil
from datetime import timedelta
from pathlib import Path
from typing import Any
from uuid import UUID

import pytest
from msgspec import Raw, json

from coordination import crypto, documents, fires, records
from coordination.crypto import Refused, Signer
from coordination.documents import RunCommand, Tombstone
from coordination.records import IngestBatch, RunRecord
from logs.intake import take
from logs.models import Output, Run, StepRun, Stream
from tests.compatibility.samples import AT, NODE, PIPELINE, RUN, SIGNER, document, every_record
from workers.engine import identity
from workers.engine.acceptance import Acceptance
from workers.engine.clock import SystemClock
from workers.engine.journal import Journal
from workers.models import Node, Refusal

HERE = Path(__file__).resolve().parent
VERSIONS = sorted(path.name for path in HERE.iterdir() if (path / "batch.json").exists())
KEYS = {Signer(SIGNER).key_id: Signer(SIGNER).verify_key}
BEFORE = AT - timedelta(seconds=1)


@pytest.fixture(params=VERSIONS)
def folder(request: pytest.FixtureRequest) -> Path:
    return HERE / str(request.param)


@pytest.fixture
def acceptance() -> Acceptance:
    return Acceptance(NODE, KEYS)


@pytest.fixture
def node(db: None) -> Node:
    return Node.objects.create(pk=UUID(NODE), name="n")


def test_there_are_earlier_versions() -> None:
    assert "0.1.0" in VERSIONS


# -- what goes down ---------------------------------------------------------------------------------------------


def test_a_worker_takes_what_an_older_console_has_signed(folder: Path, acceptance: Acceptance) -> None:
    assert acceptance.document((folder / "pipeline.json").read_bytes(), PIPELINE, 7) == document()
    tombstone = acceptance.document((folder / "tombstone.json").read_bytes(), PIPELINE, 8)
    assert isinstance(tombstone, Tombstone)
    command = acceptance.command((folder / "run.json").read_bytes(), "c1", BEFORE)
    assert isinstance(command, RunCommand)
    assert command.document == document()
    assert acceptance.command((folder / "kill.json").read_bytes(), "c2", BEFORE).run == RUN
    assert acceptance.config((folder / "config.json").read_bytes(), 5).server_url == "https://ects.test"
    assert acceptance.cached((folder / "pipeline.json").read_bytes()) == document()


def test_the_console_reads_what_an_older_worker_says_of_itself(folder: Path) -> None:
    said = documents.decode_presence((folder / "presence.json").read_bytes())
    assert (said.node, said.capacity, said.version) == (NODE, 8, folder.name)
    assert fires.decode_epoch((folder / "epoch.json").read_bytes()).id == 5


def later(body: Any, depth: int = 0) -> Any:
    """The same with a field that nobody knows yet, in every object of our own."""
    if isinstance(body, list):
        return [later(one, depth) for one in body]
    if not isinstance(body, dict):
        return body
    maps = ("environment", "headers", "secrets", "labels")
    known = {name: value if name in maps else later(value, depth + 1) for name, value in body.items()}
    return {**known, "not_yet_known": {"depth": depth}}


def signed(purpose: Any, body: Any) -> bytes:
    return Signer(SIGNER).sign(purpose, json.encode(body))


def test_a_worker_passes_over_fields_of_a_newer_console(acceptance: Acceptance) -> None:
    newer = later(json.decode(documents.encode(document())))
    assert "not_yet_known" in newer["steps"][0]["task"]
    assert acceptance.document(signed("pipeline", newer), PIPELINE, 7) == document()
    assert acceptance.config(signed("config", {"generation": 9, "not_yet_known": 1}), 5).generation == 9


@pytest.mark.parametrize("more", [{}, {"steps": "of another kind"}, {"type": "unheard of"}, {"schedule": {"cron": 1}}])
def test_a_worker_names_the_version_that_a_newer_document_needs(acceptance: Acceptance, more: dict[str, Any]) -> None:
    body = json.decode(documents.encode(document())) | {"format": 2, "needs": "0.3.0"} | more
    with pytest.raises(Refused, match=r"it needs a worker of version 0\.3\.0 or newer.*update the worker"):
        acceptance.document(signed("pipeline", body), PIPELINE, 0)
    with pytest.raises(Refused, match=r"it needs a worker of a newer version"):
        acceptance.config(signed("config", {"format": 2, "generation": 9}), 0)
    order = {"type": "run", "format": 2, "needs": "0.3.0", "id": "c1", "node": NODE}
    with pytest.raises(Refused, match=r"it needs a worker of version 0\.3\.0"):
        acceptance.command(signed("command", order), "c1", BEFORE)


def test_an_older_format_with_a_value_that_is_not_known_is_refused_by_its_name(acceptance: Acceptance) -> None:
    body = json.decode(documents.encode(document())) | {"overlap": "merge"}
    with pytest.raises(Refused, match=r"is not understood.*merge.*overlap"):
        acceptance.document(signed("pipeline", body), PIPELINE, 0)


# -- what comes up ----------------------------------------------------------------------------------------------


def delivered(node: Node, body: bytes) -> records.IngestReply:
    return take(records.decode_batch(body), node.pk, node.name, AT)


def test_ingest_takes_the_batch_of_an_older_worker(folder: Path, node: Node) -> None:
    reply = delivered(node, (folder / "batch.json").read_bytes())
    assert (reply.refused, reply.reason, reply.sequence) == (None, "", len(every_record()))
    assert reply.trust is None, "it does not say which keys it trusts, and would not know what to do with it"
    assert {(str(run.uuid), run.state) for run in Run.objects.all()} == {
        (RUN, "succeeded"),
        (RUN[:-1] + "6", "running"),
    }
    assert StepRun.objects.get().tries[0]["reason"] == "it failed"
    assert bytes(Output.objects.get().data).startswith(b"h")
    assert Stream.objects.get().lost == 3
    assert Refusal.objects.get().reason == "bad"
    node.refresh_from_db()
    assert (node.version, node.incidents, node.trusted_keys) == (folder.name, ["disk full"], None)


def test_an_older_worker_understands_the_answer(folder: Path, node: Node) -> None:
    """It decodes what it knows: ``sequence`` and ``server_time`` are where they were."""
    answer = json.decode(records.encode(delivered(node, (folder / "batch.json").read_bytes())))
    assert set(answer) == {"sequence", "server_time"}


def test_ingest_passes_over_fields_of_a_newer_worker(node: Node) -> None:
    bodies = [later(json.decode(records.encode(record))) for record in every_record()]
    batch = IngestBatch(stream=RUN, kind="state", first=1, records=tuple(Raw(json.encode(body)) for body in bodies))
    whole = json.decode(records.encode(batch)) | {
        "not_yet_known": 1,
        "report": {"version": "9.9", "not_yet_known": [2]},
    }
    reply = delivered(node, json.encode(whole))
    assert (reply.refused, reply.sequence) == (None, len(bodies))
    assert Run.objects.get(uuid=RUN).state == "succeeded"
    node.refresh_from_db()
    assert node.version == "9.9"


def test_a_kind_of_record_that_ingest_does_not_know_is_named_by_its_place(node: Node) -> None:
    known = records.encode(every_record()[0])
    strange = json.encode({"type": "weather", "sky": "blue"})
    batch = IngestBatch(stream=RUN, kind="state", first=1, records=(Raw(known), Raw(strange), Raw(known)))
    reply = delivered(node, records.encode(batch))
    assert (reply.refused, reply.sequence) == (2, 0)
    assert "weather" in reply.reason
    assert not Run.objects.exists(), (
        "a batch is taken whole or not at all: the worker puts a stand-in there and goes on"
    )


# -- what is kept -----------------------------------------------------------------------------------------------


def test_an_older_identity_is_read(folder: Path) -> None:
    known = identity.load(folder, "any machine")
    assert known is not None
    assert (known.node, known.verify_keys, known.former_keys) == (NODE, KEYS, {})


async def _opened(path: Path) -> dict[str, Any]:
    journal = Journal(path, clock=SystemClock())
    await journal.open()
    batch = await journal.next_batch("state")
    assert batch is not None
    found = {
        "damage": journal.incidents(),
        "batch": (batch.first, [records.decode_record(raw) for raw in batch.records]),
        "open": [run.run for run, _ in await journal.open_runs()],
        "cursor": (await journal.cursors())[PIPELINE],
        "document": [kept.envelope for kept in await journal.documents()],
        "generation": await journal.generations(),
        "born": journal.born,
        "command": await journal.take_command("c1", AT + timedelta(days=30_000)),
    }
    await journal.acknowledge(batch.stream, len(every_record()))
    await journal.state(
        RunRecord(run=RUN, pipeline=PIPELINE, pipeline_name="n", state="lost", trigger="manual", scheduled_at=AT)
    )
    found["streams"] = len(await journal.questions())
    await journal.close()
    return found


@pytest.mark.anyio
@pytest.mark.parametrize("anyio_backend", ["asyncio"])
async def test_an_older_journal_is_opened_and_brought_up_to_date(folder: Path, tmp_path: Path) -> None:
    path = tmp_path / "journal.db"
    shutil.copy(folder / "journal.db", path)
    found = await _opened(path)
    assert found == {
        "damage": (),
        "batch": (3, every_record()[2:]),
        "open": [RUN[:-1] + "6"],
        "cursor": AT,
        "document": [(folder / "pipeline.json").read_bytes()],
        "generation": {PIPELINE: 7},
        "born": AT,
        "command": False,
        "streams": 3,
    }
    assert Acceptance(NODE, KEYS).cached(found["document"][0]) == document()
    again = Journal(path, clock=SystemClock())
    await again.open()
    assert again.backlog().records == 1
    await again.close()
    assert not list(tmp_path.glob("*damaged*"))
    assert crypto.signed_by(found["document"][0]) in KEYS
