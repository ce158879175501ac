"""Writes down what this version sends, keeps and signs: ``python -m tests.compatibility.make``, once for each release.

Later versions are tested against these files (``test_versions.py``), which are never written anew.
"""

import json
import sys
from contextlib import closing
from datetime import UTC, datetime
from pathlib import Path

from msgspec import Raw

from coordination import documents, fires, records
from coordination.crypto import Signer
from coordination.documents import KillCommand, Presence, RunCommand, SharedConfig, Tombstone
from coordination.fires import Epoch
from coordination.records import IngestBatch, NodeReport
from tests.compatibility.samples import AT, NODE, PIPELINE, RUN, SIGNER, document, every_record
from workers.engine import identity
from workers.engine.identity import Etcd, Identity
from workers.engine.journal_store import Store

HERE = Path(__file__).resolve().parent


def write(version: str) -> None:
    """Everything of this version, into a folder of its name. Raises FileExistsError when there is one."""
    folder = HERE / version
    folder.mkdir()
    signer = Signer(SIGNER)
    signed(folder / "pipeline.json", signer, "pipeline", document())
    signed(folder / "tombstone.json", signer, "pipeline", Tombstone(pipeline=PIPELINE, node=NODE, generation=8))
    run = RunCommand(id="c1", node=NODE, issued_at=AT, expires_at=AT, run=RUN, document=document(), requested_by="ada")
    signed(folder / "run.json", signer, "command", run)
    kill = KillCommand(id="c2", node=NODE, issued_at=AT, expires_at=AT, run=RUN, requested_by="ada")
    signed(folder / "kill.json", signer, "command", kill)
    signed(folder / "config.json", signer, "config", SharedConfig(generation=5, server_url="https://ects.test"))
    presence = Presence(node=NODE, name="n", host="h", version=version, capacity=8, labels={"gpu": "yes"}, pid=1)
    (folder / "presence.json").write_bytes(documents.encode(presence))
    (folder / "epoch.json").write_bytes(fires.encode(Epoch(id=5, created=AT, first=True)))
    bodies = tuple(Raw(records.encode(record)) for record in every_record())
    report = NodeReport(version=version, clock=AT, capacity=8, backlog=3, host="h", incidents=("disk full",))
    batch = IngestBatch(stream=RUN, kind="state", first=1, records=bodies, report=report)
    (folder / "batch.json").write_bytes(records.encode(batch))
    identity.save(folder, whoami(signer))
    journal(folder / "journal.db", (folder / "pipeline.json").read_bytes())


def signed(path: Path, signer: Signer, purpose, body) -> None:  # type: ignore[no-untyped-def]
    """An envelope as it lies in etcd."""
    path.write_bytes(signer.sign(purpose, documents.encode(body)))


def whoami(signer: Signer) -> Identity:
    """A worker's identity; its secrets are good for nothing."""
    return Identity(
        node=NODE,
        name="n",
        server_url="https://ects.test",
        token="token",
        private_key=bytes(range(32)),
        verify_keys={signer.key_id: signer.verify_key},
        store=Etcd(endpoints=("127.0.0.1:2379",), prefix="/ects"),
        machine_id="",
    )


def journal(path: Path, envelope: bytes) -> None:
    """Delivered and undelivered records, a run without an end, a cursor, a document, a command."""
    with closing(Store(path)) as store:
        store.begin()
        store.born(AT)
        store.open_streams(AT)
        store.append("state", AT, every_record())
        store.put_document(PIPELINE, 7, envelope)
        store.take_command("c1", datetime(2100, 1, 1, tzinfo=UTC), AT)
        store.put_meta("config", b"{}")
        store.commit()
        store.begin()
        [(stream,)] = store._db.execute("SELECT stream FROM streams WHERE kind = 'state'")
        store.acknowledge(stream, 2)
        store.commit()
        store._db.execute("PRAGMA wal_checkpoint(TRUNCATE)")
        store._db.execute("PRAGMA journal_mode=DELETE")


if __name__ == "__main__":
    write(sys.argv[1])
    print(json.dumps(sorted(path.name for path in (HERE / sys.argv[1]).iterdir())))
