"""From a saved definition to etcd: what reaches whom."""

import pytest
from django.db import transaction

from coordination import crypto, documents
from coordination.documents import Tombstone
from coordination.errors import CoordinationError
from coordination.gateway import Compare, Put
from pipelines import outbox, publishing
from pipelines.models import Binding, Control, Pipeline, Publication, Step
from tasks.models import Secret, Task
from tests.etcd_server import wait_until
from tests.pipelines import makers
from workers import keyring
from workers.models import Node


def test_saving_in_one_transaction_publishes_what_was_committed(console):
    node = makers.node()
    with transaction.atomic():
        pipeline = Pipeline.objects.create(name="p", enabled=True, schedule="*/5 * * * *")
        Step.objects.create(pipeline=pipeline, task=makers.task(content="echo hello"), position=1)
        Binding.objects.create(pipeline=pipeline, node=node)
        assert console.item(node, pipeline.pk) is None
    document = console.document(node, pipeline.pk)
    pipeline.refresh_from_db()
    assert document.schedule == "*/5 * * * *"
    assert [step.task.content for step in document.steps] == ["echo hello"]
    assert document.generation == pipeline.generation
    assert pipeline.is_published()


def test_a_rolled_back_edit_reaches_nobody(console):
    node = makers.node()
    pipeline = makers.pipeline(tasks=[makers.task()], nodes=[node])
    before = console.item(node, pipeline.pk)
    with transaction.atomic():
        pipeline.schedule = "0 0 * * *"
        pipeline.save()
        transaction.set_rollback(True)
    publishing.relay_pending()
    assert console.item(node, pipeline.pk) == before


def test_a_task_used_in_30_pipelines_on_20_nodes_reaches_every_document(console):
    nodes = [makers.node(f"n{number}") for number in range(20)]
    shared = makers.task(content="echo old")
    with transaction.atomic():
        pipelines = [makers.pipeline(f"p{number}", tasks=[shared], nodes=nodes) for number in range(28)]
        ends = [makers.pipeline(f"e{end}", tasks=[makers.task(end)], nodes=nodes, **{end: shared})
                for end in ("on_success", "on_failure")]  # fmt: skip
    publishing.relay_pending(60)
    shared.content = "echo new"
    shared.save()
    publishing.relay_pending(60)
    for node in nodes:
        assert {console.document(node, each.pk).steps[0].task.content for each in pipelines} == {"echo new"}
        assert console.document(node, ends[0].pk).on_success.content == "echo new"
        assert console.document(node, ends[1].pk).on_failure.content == "echo new"
    assert not Publication.objects.filter(pending=True).exists()


@pytest.mark.parametrize(
    "write",
    [
        lambda p: Task.objects.update(content="echo changed"),
        lambda p: Task.objects.bulk_update([Task(pk=p.steps.get().task_id, content="echo changed")], ["content"]),
        lambda p: p.steps.update(environment={"A": "1"}),
        lambda p: p.steps.all().delete(),
        lambda p: Step.objects.bulk_create([Step(pipeline=p, task=makers.task("another"), position=9)]),
        lambda p: Pipeline.objects.filter(name="p1").update(name="p2"),
        lambda p: Binding.objects.all().delete(),
        lambda p: Node.objects.get().delete(),
        lambda p: makers.secret("TOKEN", "first"),
        lambda p: p.delete(),
        lambda p: Pipeline.objects.all().delete(),
    ],
)
def test_every_way_to_write_is_noticed(console, write):
    node = makers.node()
    pipeline = makers.pipeline(tasks=[makers.task(content="echo {{ secrets.TOKEN }}")], nodes=[node])
    before = console.held(node, pipeline.pk)
    write(pipeline)
    after = console.held(node, before.pipeline)
    assert after.generation > before.generation
    assert {**_content(after)} != {**_content(before)}


def _content(document):
    return {name: getattr(document, name) for name in document.__struct_fields__ if name != "generation"}


def test_a_refiltered_bulk_update_is_noticed(console):
    node = makers.node()
    pipeline = makers.pipeline(tasks=[makers.task()], nodes=[node])
    assert Pipeline.objects.filter(enabled=True).update(enabled=False) == 1
    assert isinstance(console.held(node, pipeline.pk), Tombstone)


def test_labels_bind_and_unbind(console):
    gpu = makers.node("gpu", labels={"gpu": "yes", "zone": "a"})
    plain = makers.node("plain", labels={"zone": "a"})
    pipeline = makers.pipeline(tasks=[makers.task()], nodes=[], node_labels={"gpu": "yes"})
    assert console.document(gpu, pipeline.pk)
    assert console.item(plain, pipeline.pk) is None
    plain.labels = {"gpu": "yes"}
    plain.save()
    gpu.labels = {}
    gpu.save()
    assert console.document(plain, pipeline.pk)
    assert console.held(gpu, pipeline.pk) == Tombstone(
        pipeline=str(pipeline.pk),
        node=str(gpu.pk),
        generation=Publication.objects.get(node=gpu.pk).wanted,
        reason="unbound",
    )


def test_what_a_node_says_of_itself_concerns_no_pipeline(console):
    node = makers.node(labels={"a": "1"})
    pipeline = makers.pipeline(tasks=[makers.task()], nodes=[node], node_labels={"a": "1"})
    before = Pipeline.objects.get(pk=pipeline.pk).generation
    node.running = 5
    node.save()
    assert Pipeline.objects.get(pk=pipeline.pk).generation == before


def test_a_node_that_has_not_enrolled_waits(console):
    node = makers.node(enrolled=False)
    pipeline = makers.pipeline(tasks=[makers.task()], nodes=[node])
    assert publishing.relay_pending() == 0
    assert not pipeline.is_published()
    _, public = crypto.new_node_key()
    Node.objects.filter(pk=node.pk).update(public_key=public)
    assert publishing.relay_pending() == 1
    assert pipeline.is_published()


def test_a_new_node_key_seals_anew(console):
    node = makers.node()
    makers.secret("TOKEN", "s3cret")
    pipeline = makers.pipeline(tasks=[makers.task(content="echo {{ secrets.TOKEN }}")], nodes=[node])
    private, node.public_key = crypto.new_node_key()
    node.save()
    assert crypto.unseal(private, console.document(node, pipeline.pk).secrets["TOKEN"]) == "s3cret"


def test_secrets_are_sealed_for_their_node_alone(console):
    first, second = makers.node("n1"), makers.node("n2")
    makers.secret("TOKEN", "s3cret-value")
    makers.secret("OTHER", "not asked for")
    makers.secret("HOOK_KEY", "hook")
    tasks = [makers.task(), makers.task("hook", kind="hook", url="http://h", signing_secret="HOOK_KEY")]
    pipeline = makers.pipeline(tasks=tasks, nodes=[first, second])
    pipeline.steps.filter(position=0).update(environment={"T": "{{ secrets.TOKEN }}"})
    for node, other in ((first, second), (second, first)):
        sealed = console.document(node, pipeline.pk).secrets
        assert sealed.keys() == {"TOKEN", "HOOK_KEY"}
        assert crypto.unseal(node.private_key, sealed["TOKEN"]) == "s3cret-value"
        with pytest.raises(crypto.CannotOpen):
            crypto.unseal(other.private_key, sealed["TOKEN"])
        assert b"s3cret-value" not in console.item(node, pipeline.pk).value


def test_a_changed_secret_reaches_those_that_use_it_and_no_others(console):
    node = makers.node()
    secret = makers.secret("TOKEN", "old")
    using = makers.pipeline(tasks=[makers.task(content="echo {{secrets.TOKEN}}")], nodes=[node])
    other = makers.pipeline("other", tasks=[makers.task("plain")], nodes=[node])
    untouched = console.item(node, other.pk)
    secret.set_value("new")
    secret.save()
    assert crypto.unseal(node.private_key, console.document(node, using.pk).secrets["TOKEN"]) == "new"
    assert console.item(node, other.pk) == untouched


def test_a_secret_of_another_encryption_key_holds_back_only_what_uses_it(console, settings):
    node = makers.node()
    makers.secret("TOKEN", "old")
    keyring.signer()
    Secret.objects.update(ciphertext=crypto.encrypt(bytes(32), b"x"))
    with transaction.atomic():
        using = makers.pipeline(tasks=[makers.task(content="echo {{secrets.TOKEN}}")], nodes=[node])
        other = makers.pipeline("other", tasks=[makers.task("plain")], nodes=[node])
    assert console.item(node, using.pk) is None
    assert "TOKEN" in outbox.unpublished([using.pk]).get().error
    assert console.document(node, other.pk)


def test_mail_settings_travel_with_mail_tasks_only(console, settings):
    settings.ECTS_EMAIL = {
        "host": "smtp.test", "port": 587, "user": "u", "password": "pw", "tls": "starttls", "sender": "a@b.test",
    }  # fmt: skip
    node = makers.node()
    mail = makers.pipeline(tasks=[makers.task("m", kind="mail", recipients=["a@b.test"])], nodes=[node])
    shell = makers.pipeline("p2", tasks=[makers.task()], nodes=[node])
    document = console.document(node, mail.pk)
    assert document.mail.host == "smtp.test"
    assert crypto.unseal(node.private_key, document.secrets["mail-password"]) == "pw"
    assert console.document(node, shell.pk).mail is None


def test_the_global_pause_is_published_signed(console):
    publishing.set_paused(True)
    config = _config(console)
    assert config.paused
    publishing.set_paused(False)
    assert not _config(console).paused
    assert _config(console).generation > config.generation


def test_shared_settings_step_past_a_newer_generation_and_mend_what_was_altered(console, settings):
    publishing.set_paused(True)
    first = _config(console)
    key = console.keys.config()
    console.gateway.transact([Compare.exists(key)], [Put(key, b"nonsense")])
    publishing.publish_config()
    assert _config(console) == first
    settings.ECTS_SERVER_URL = "http://elsewhere.test"
    publishing.publish_config()
    assert _config(console).server_url == "http://elsewhere.test"
    assert _config(console).generation > first.generation


def test_shared_settings_of_a_restored_database_step_past_what_the_workers_have(console):
    publishing.set_paused(True)
    held = _config(console)
    Control.objects.update(paused=False, generation=held.generation - 1000, published=held.generation - 1000)
    publishing.publish_config()
    assert not _config(console).paused
    assert _config(console).generation > held.generation


def test_global_pause_with_etcd_down_is_published_when_it_is_back(console):
    publishing.set_paused(False)
    console.etcd.kill()
    try:
        assert publishing.set_paused(True).paused
    finally:
        console.etcd.start()

    def shown() -> bool:
        publishing.relay_pending()
        try:
            return _config(console).paused
        except CoordinationError:
            return False

    wait_until(shown, "pause published by itself")


def _config(console):
    item = console.gateway.get(console.keys.config())
    return documents.decode_config(crypto.verify("config", item.value, keyring.verify_keys()))
