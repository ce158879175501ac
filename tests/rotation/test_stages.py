"""``rotatekeys signing``, stage by stage: what etcd shows, what nodes are told, and what a killed rotation leaves."""

import json

import pytest
from django.core.management import CommandError, call_command
from django.utils import timezone

from coordination import crypto, records, trust
from coordination.records import IngestBatch, NodeReport
from ects_site.rotation import signing
from logs.intake import take
from pipelines import publishing
from pipelines.models import Pipeline, Publication
from tests.pipelines import makers
from workers import keyring
from workers.models import Node, Refusal, SigningKey


@pytest.fixture
def node(console):
    return makers.node(token_digest="d", online=True)


@pytest.fixture
def pipeline(console, node):
    made = makers.pipeline(tasks=[makers.task()], nodes=[node])
    publishing.publish_config()
    return made


def report(node: Node, *keys: str) -> trust.Notice | None:
    """A delivery of nothing, by a node that trusts these keys; what it is told. It goes over the wire."""
    sent = records.encode(IngestBatch(stream="", kind="state", first=0, report=NodeReport(keys=keys)))
    reply = take(records.decode_batch(sent), node.pk, node.name, timezone.now())
    return records.decode_reply(records.encode(reply)).trust


def rotate(*options: str) -> None:
    call_command("rotatekeys", "signing", "--wait", "0", *options)


def signers(console, node, pipeline) -> set[str]:
    items = [console.item(node, pipeline.pk), console.gateway.get(console.keys.config())]
    return {crypto.signed_by(item.value) for item in items}


def test_a_rotation_from_its_beginning_to_its_end(console, node, pipeline):
    first = keyring.fingerprint()
    before, generation = console.document(node, pipeline.pk), Pipeline.objects.get().generation
    with pytest.raises(CommandError, match="is not known to n1"):
        rotate()
    [_, second] = keyring.verify_keys()
    assert keyring.fingerprint() == first, "it does not sign before the workers know it"
    told = report(node, first)
    assert set(trust.read(told, {first: keyring.verify_keys()[first]}, 0).by_id) == {first, second}
    assert report(node, second, first) is None
    rotate()
    assert keyring.fingerprint() == second
    assert list(keyring.verify_keys()) == [second]
    assert signers(console, node, pipeline) == {second}
    after = console.document(node, pipeline.pk)
    assert (after.generation, after.digest) == (before.generation, before.digest), "nothing has changed for the node"
    assert Pipeline.objects.get().generation == generation
    assert not Publication.objects.filter(pending=True).exists()
    assert SigningKey.objects.get(key_id=first).ciphertext == b"", "the retired key can never sign again"
    told = report(node, first, second)
    assert set(trust.read(told, {second: keyring.verify_keys()[second]}, 0).by_id) == {second}


def test_a_node_that_was_away_for_two_rotations_follows(console, node, pipeline):
    first, key = keyring.fingerprint(), keyring.signer().verify_key
    for _ in range(2):
        rotate("--force", "--retire")
    told = report(node, first)
    assert list(trust.read(told, {first: key}, 0).by_id) == [keyring.fingerprint()]
    assert SigningKey.objects.count() == 3


def test_a_node_that_is_away_keeps_the_old_key_alive_unless_told_otherwise(console, node, pipeline):
    first = keyring.fingerprint()
    Node.objects.update(online=False)
    with pytest.raises(CommandError, match=f"n1 did not learn it yet, so {first} still counts"):
        rotate()
    assert first in keyring.verify_keys()
    assert first != keyring.fingerprint()
    assert signers(console, node, pipeline) == {keyring.fingerprint()}
    rotate("--retire")
    assert first not in keyring.verify_keys()
    assert SigningKey.objects.count() == 2, "it went on with the rotation that had begun"


@pytest.mark.parametrize("victim", ["make_next", "begin_to_sign", "retire_former"])
def test_killed_after_any_stage_it_goes_on(console, node, pipeline, monkeypatch, victim):
    class Killed(BaseException):
        """As by kill -9: nothing more is done."""

    work = getattr(keyring, victim)

    def die(*arguments):
        work(*arguments)
        raise Killed

    first = keyring.fingerprint()
    with monkeypatch.context() as patch:
        patch.setattr(signing.keyring, victim, die)
        with pytest.raises(Killed):
            rotate("--force", "--retire")
    if victim == "retire_former":
        assert list(keyring.verify_keys()) == [keyring.fingerprint()] != [first]
        return
    rotate("--force", "--retire")
    assert SigningKey.objects.count() == 2
    assert list(keyring.verify_keys()) == [keyring.fingerprint()] != [first]
    assert signers(console, node, pipeline) == {keyring.fingerprint()}


def test_killed_while_signing_anew_it_goes_on(console, node, pipeline):
    other = makers.pipeline("p2", tasks=[makers.task("t2")], nodes=[node])
    with pytest.raises(CommandError):
        rotate()
    old = console.item(node, other.pk).value
    keyring.begin_to_sign(keyring.pending())
    publishing.resync()
    console.overwrite(node, other.pk, old)
    rotate("--retire")
    assert signers(console, node, other) == {keyring.fingerprint()}


def test_without_etcd_it_stops_and_says_so(console, node, pipeline):
    console.etcd.pause()
    try:
        with pytest.raises(CommandError, match="run this again"):
            rotate("--force", "--retire")
    finally:
        console.etcd.resume()
    assert len(keyring.verify_keys()) == 2, "nothing is retired before everything is signed anew"
    rotate("--retire")
    assert signers(console, node, pipeline) == {keyring.fingerprint()}


def test_a_tombstone_is_signed_anew_too(console, node, pipeline):
    pipeline.enabled = False
    pipeline.save()
    publishing.relay_pending()
    before = console.held(node, pipeline.pk)
    rotate("--force", "--retire")
    assert console.held(node, pipeline.pk) == before
    assert signers(console, node, pipeline) == {keyring.fingerprint()}


def test_a_worker_of_an_older_version_is_named(console, node, pipeline):
    assert report(node) is None
    with pytest.raises(CommandError, match="n1 must be updated first"):
        rotate()


def test_refusals_end_with_the_keys_they_came_from(console, node, pipeline):
    Refusal.objects.create(node=node, key="/k", reason="signed by a key", at=timezone.now())
    report(node, keyring.fingerprint())
    assert not Refusal.objects.exists()
    Refusal.objects.create(node=node, key="/k", reason="still", at=timezone.now())
    report(node, keyring.fingerprint())
    assert Refusal.objects.exists()
    assert json.dumps(Node.objects.get().trusted_keys) == json.dumps([keyring.fingerprint()])
