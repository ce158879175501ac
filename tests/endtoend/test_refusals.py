"""Being able to write to etcd is not enough: what the console has not signed for this node is refused, and shown."""

import json
import re
import uuid
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

from coordination.etcd import SyncEtcd
from coordination.gateway import EtcdSettings, Put
from coordination.keys import Keys
from tests.endtoend.client import wait_for
from tests.endtoend.installation import Installation

KEYS = Keys()


@pytest.fixture(scope="module")
def etcd(ects: Installation) -> Iterator[SyncEtcd]:
    endpoint = (ects.directory / "etcd" / "endpoint").read_text()
    client = SyncEtcd(EtcdSettings(endpoints=(endpoint,)))
    yield client
    client.close()


def _page(ects: Installation, node: str) -> str:
    """The node's page in the admin, as a signed-in person sees it."""
    with httpx.Client(base_url=ects.url, follow_redirects=True, timeout=30) as browser:
        form = browser.get("/admin/login/").text
        token = re.search(r'name="csrfmiddlewaretoken" value="([^"]+)"', form)
        assert token
        body = {"username": "admin", "password": ects.password, "csrfmiddlewaretoken": token[1]}
        browser.post("/admin/login/", data=body, headers={"Referer": ects.url})
        return browser.get(f"/admin/workers/node/{node}/change/").text


def _put(etcd: SyncEtcd, key: str, value: bytes) -> None:
    assert etcd.transact([], [Put(key, value)]).succeeded


def test_forged_altered_replayed_and_copied_documents(ects: Installation, etcd: SyncEtcd, tmp_path: Path) -> None:
    node = ects.node
    other = str(uuid.uuid4())
    proof = tmp_path / "proof"
    step = {"task": ects.task("shell", "echo honest"), "position": 0}
    pipeline = ects.pipeline("* * * * * *", [step])
    ects.ended(pipeline, 1)
    key = KEYS.pipeline(node, pipeline)
    first = etcd.get(key)
    assert first is not None
    assert ects.api.patch(f"pipelines/{pipeline}/", json={"description": "newer"}).status_code == 200
    wait_for("the newer one is there", lambda: (item := etcd.get(key)) and item.value != first.value)

    envelope = json.loads(first.value)
    altered = json.dumps({**envelope, "body": envelope["body"].replace("echo honest", f"touch {proof}")}).encode()
    copied = first.value.replace(node.encode(), other.encode())
    _put(etcd, KEYS.pipeline(node, str(uuid.uuid4())), b'{"type": "pipeline", "steps": []}')
    _put(etcd, KEYS.pipeline(node, str(uuid.uuid4())), first.value)
    for value in (altered, first.value, copied):
        _put(etcd, key, value)
    command = str(uuid.uuid4())
    _put(etcd, KEYS.command(node, command), altered)

    reasons = (
        "it is not a signed document",
        "it belongs to pipeline",
        "its signature does not match its content",
    )
    for reason in reasons:
        wait_for(f"the page says: {reason}", lambda reason=reason: reason in _page(ects, node))
    wait_for("the replay is named", lambda: "it is older (generation" in ects.log.read_text())
    wait_for("the command is named", lambda: command in _page(ects, node))
    runs = len(ects.ended(pipeline))
    ects.ended(pipeline, runs + 2)
    assert not proof.exists()
    ects.disable(pipeline)
