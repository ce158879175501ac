"""From a saved definition to etcd: the outbox, the relay, tombstones."""

from datetime import timedelta

import pytest
from django.db import transaction
from django.utils.timezone import now

from coordination import crypto, documents
from coordination.documents import Tombstone
from coordination.errors import CoordinationError
from coordination.gateway import Compare, Put
from pipelines import outbox, publishing, relay, rendering
from pipelines.models import Binding, Control, Pipeline, Publication, Step
from tasks.models import Secret, Task
from tests.etcd_server import wait_until
from tests.pipelines import makers
from workers import keyring
from workers.models import Node


def published(pipeline: Pipeline) -> bool:
    return not outbox.unpublished([pipeline.pk]).exists()


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
    assert published(pipeline)


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
    assert not published(pipeline)
    _, public = crypto.new_node_key()
    Node.objects.filter(pk=node.pk).update(public_key=public)
    assert publishing.relay_pending() == 1
    assert published(pipeline)


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


def test_disabling_leaves_a_tombstone_until_the_node_has_applied_it(console):
    node = makers.node()
    pipeline = makers.pipeline(tasks=[makers.task()], nodes=[node])
    held = console.document(node, pipeline.pk)
    pipeline.enabled = False
    pipeline.save()
    tombstone = console.held(node, pipeline.pk)
    assert isinstance(tombstone, Tombstone)
    assert tombstone.reason == "disabled"
    assert tombstone.generation > held.generation
    console.report_applied(node, pipeline.pk, held.generation)
    publishing.relay_pending()
    assert console.held(node, pipeline.pk) == tombstone
    console.report_applied(node, pipeline.pk, tombstone.generation, removed=True)
    publishing.relay_pending()
    assert console.item(node, pipeline.pk) is None
    assert not Publication.objects.exists()


def test_deleting_a_pipeline_leaves_tombstones_that_outlive_it(console):
    node, other = makers.node("n1"), makers.node("n2")
    pipeline = makers.pipeline(tasks=[makers.task()], nodes=[node, other])
    pk = pipeline.pk
    pipeline.delete()
    for each in (node, other):
        assert console.held(each, pk).reason == "deleted"
    console.report_applied(node, pk, console.held(node, pk).generation, removed=True)
    publishing.relay_pending()
    assert console.item(node, pk) is None
    assert isinstance(console.held(other, pk), Tombstone)


def test_binding_again_before_the_tombstone_was_applied(console):
    node = makers.node()
    pipeline = makers.pipeline(tasks=[makers.task()], nodes=[node])
    pipeline.bindings.all().delete()
    tombstone = console.held(node, pipeline.pk)
    bound_at = now()
    Binding.objects.create(pipeline=pipeline, node=node)
    document = console.document(node, pipeline.pk)
    assert document.generation > tombstone.generation
    assert document.not_before >= bound_at
    console.report_applied(node, pipeline.pk, tombstone.generation, removed=True)
    publishing.relay_pending()
    assert console.document(node, pipeline.pk) == document


def test_applying_between_the_put_and_its_record_still_tidies_up(console, monkeypatch):
    node = makers.node()
    pipeline = makers.pipeline(tasks=[makers.task()], nodes=[node])
    transact = console.gateway.transact

    def quick_worker(compares, then, *rest, **options):
        outcome = transact(compares, then, *rest, **options)
        if any(isinstance(operation, Put) for operation in then):
            console.report_applied(node, pipeline.pk, console.held(node, pipeline.pk).generation, removed=True)
        return outcome

    monkeypatch.setattr(console.gateway, "transact", quick_worker)
    pipeline.bindings.all().delete()
    publishing.relay_pending()
    assert console.item(node, pipeline.pk) is None


def test_not_before_moves_with_what_makes_new_instants_only(console):
    node = makers.node()
    pipeline = makers.pipeline(tasks=[makers.task()], nodes=[node])

    def moved(**changes) -> bool:
        before = console.document(node, pipeline.pk).not_before
        for name, value in changes.items():
            setattr(pipeline, name, value)
        pipeline.save()
        return console.document(node, pipeline.pk).not_before > before

    assert not moved(description="x")
    assert not moved(paused=True)
    assert moved(paused=False)
    assert moved(schedule="0 * * * *")
    assert moved(timezone="Asia/Shanghai")
    assert not moved(overlap="allow")
    before = console.document(node, pipeline.pk).not_before
    Pipeline.objects.update(schedule="1 * * * *")
    assert console.document(node, pipeline.pk).not_before > before


def test_a_newly_bound_node_catches_up_nothing_and_the_old_ones_keep_theirs(console):
    first, second = makers.node("n1"), makers.node("n2")
    pipeline = makers.pipeline(tasks=[makers.task()], nodes=[first])
    long_ago = now() - timedelta(days=3)
    Pipeline.objects.all().update_quietly(not_before=long_ago)
    Publication.objects.update(not_before=long_ago)
    bound_at = now()
    Binding.objects.create(pipeline=pipeline, node=second)
    assert console.document(first, pipeline.pk).not_before == long_ago
    assert console.document(second, pipeline.pk).not_before >= bound_at


def test_an_outbox_that_is_ahead_of_its_pipeline_is_never_taken_back(console):
    node = makers.node()
    pipeline = makers.pipeline(tasks=[makers.task()], nodes=[node])
    ahead = outbox.next_generation(0) + 3_600_000
    for column in ("wanted", "applied"):
        Publication.objects.update(**{column: ahead})
        pipeline.save()
        assert Publication.objects.get().wanted > ahead
        assert console.document(node, pipeline.pk).generation > ahead
        ahead += 3_600_000


def test_a_stale_instance_does_not_take_the_generation_back(console):
    pipeline = makers.pipeline(tasks=[makers.task()], nodes=[])
    stale = Pipeline.objects.get(pk=pipeline.pk)
    ahead = outbox.next_generation(0) + 3_600_000
    outbox.mark([pipeline.pk], floor=ahead)
    stale.description = "late"
    stale.save()
    assert Pipeline.objects.get(pk=pipeline.pk).generation > ahead + 1


def test_an_edit_between_the_two_readings_of_the_generation_starts_the_rendering_over(console, monkeypatch):
    pipeline = makers.pipeline(tasks=[makers.task(content="echo old")], nodes=[makers.node()])
    opened = []
    open_secrets = rendering._open_secrets

    def edit_meanwhile(found):
        opened.append(1)
        if len(opened) == 1:
            Task.objects.update(content="echo new")
        return open_secrets(found)

    monkeypatch.setattr(rendering, "_open_secrets", edit_meanwhile)
    source = rendering.read([pipeline.pk])[pipeline.pk]
    assert source.document.steps[0].task.content == "echo new"
    assert source.generation == Pipeline.objects.get().generation


def test_of_two_relays_the_newer_wins(console, monkeypatch):
    """The slower relay has rendered generation 1 and read the key when another edits and publishes generation 2."""
    node = makers.node()
    pipeline = makers.pipeline(tasks=[makers.task(content="echo 0")], nodes=[node])
    transact = console.gateway.transact
    raced = []

    def race(compares, then, *rest, **options):
        if compares and not raced:
            raced.append(1)
            Task.objects.update(content="echo 2")
        return transact(compares, then, *rest, **options)

    monkeypatch.setattr(console.gateway, "transact", race)
    Task.objects.update(content="echo 1")
    publishing.relay_pending()
    document = console.document(node, pipeline.pk)
    assert raced
    assert document.steps[0].task.content == "echo 2"
    assert document.generation == Pipeline.objects.get().generation
    assert not Publication.objects.filter(pending=True).exists()


def test_a_rendering_that_was_held_up_too_long_is_dropped(console, monkeypatch):
    node = makers.node()
    pipeline = makers.pipeline(tasks=[makers.task()], nodes=[node])
    before = console.item(node, pipeline.pk)
    monkeypatch.setattr(relay, "STALE", 0.0)
    Task.objects.update(content="echo new")
    assert console.item(node, pipeline.pk) == before
    monkeypatch.undo()
    monkeypatch.setattr("workers.store.sync_gateway", lambda: console.gateway)
    publishing.relay_pending()
    assert console.document(node, pipeline.pk).steps[0].task.content == "echo new"


def test_a_node_ahead_of_the_database_is_stepped_past(console):
    node = makers.node()
    pipeline = makers.pipeline(tasks=[makers.task()], nodes=[node])
    ahead = Pipeline.objects.get().generation + 10_000_000
    console.report_applied(node, pipeline.pk, ahead)
    publishing.relay_pending()
    assert console.document(node, pipeline.pk).generation > ahead


def test_a_node_with_a_pipeline_the_database_does_not_know_is_told_to_forget_it(console):
    node = makers.node()
    unknown = "8a1f3f9e-5cf4-4f43-8ea0-d2b1f0f3a001"
    console.report_applied(node, unknown, 5)
    publishing.relay_pending()
    tombstone = console.held(node, unknown)
    assert isinstance(tombstone, Tombstone)
    assert tombstone.generation > 5


def test_a_report_of_nonsense_is_no_error(console):
    console.report_applied(makers.node(), "no id", 5)
    assert not Publication.objects.exists()


def test_many_documents_of_great_size_go_in_several_requests(console):
    nodes = [makers.node(f"n{number}") for number in range(4)]
    big = makers.task(content="x" * 700_000)
    pipeline = makers.pipeline(tasks=[big], nodes=nodes)
    publishing.relay_pending()
    assert {len(console.document(node, pipeline.pk).steps[0].task.content) for node in nodes} == {700_000}


def test_a_document_too_large_for_etcd_holds_up_no_other(console):
    node = makers.node()
    with transaction.atomic():
        huge = makers.pipeline("huge", tasks=[makers.task("t2", content="x" * 1_700_000)], nodes=[node])
        small = makers.pipeline("small", tasks=[makers.task()], nodes=[node])
    publishing.relay_pending()
    assert console.document(node, small.pk)
    row = outbox.unpublished([huge.pk]).get()
    assert row.error
    assert row.retry_at > now()


def test_saving_while_etcd_is_down_and_publishing_when_it_is_back(console):
    node = makers.node()
    pipeline = makers.pipeline(tasks=[makers.task(content="echo old")], nodes=[node])
    console.etcd.kill()
    try:
        Task.objects.update(content="echo new")
        assert Task.objects.get().content == "echo new"
        assert not published(pipeline)
        assert publishing.held_back() == {pipeline.pk}
        assert outbox.unpublished([pipeline.pk]).get().error
        publishing.relay_pending()
    finally:
        console.etcd.start()
    wait_until(lambda: publishing.relay_pending() and published(pipeline), "published by itself", 10)
    assert console.document(node, pipeline.pk).steps[0].task.content == "echo new"


def test_a_request_is_not_held_up_by_an_etcd_that_does_not_answer(console, monkeypatch):
    """Counts the calls' deadlines: their sum is what the request can wait for etcd."""
    pipeline = makers.pipeline(tasks=[makers.task()], nodes=[makers.node()])
    monkeypatch.setattr(publishing, "WEB_BUDGET", 0.3)
    deadlines = []
    transact = console.gateway.transact

    def recording(*arguments, timeout, **options):
        deadlines.append(timeout)
        return transact(*arguments, timeout=timeout, **options)

    console.gateway.transact = recording
    console.etcd.pause()
    try:
        with transaction.atomic():
            for name in ("a", "b", "c"):
                pipeline.name = name
                pipeline.save()
    finally:
        console.etcd.resume()
    assert not published(pipeline)
    assert deadlines
    assert sum(deadlines) <= publishing.WEB_BUDGET


def test_forged_newer_generations_do_not_stop_the_console(console):
    """Whoever can write to etcd but has no key cannot make the console spare his document."""
    node = makers.node()
    pipeline = makers.pipeline(tasks=[makers.task()], nodes=[node])
    genuine = console.document(node, pipeline.pk)
    forger = crypto.Signer(bytes(range(32)))
    console.overwrite(node, pipeline.pk, forger.sign("pipeline", b'{"generation": 9999999999999999}'))
    Task.objects.update(content="echo new")
    assert console.document(node, pipeline.pk).generation > genuine.generation


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
