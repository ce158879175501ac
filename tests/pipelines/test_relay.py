"""The relay against edits, other relays, nodes and an etcd that are not as it expects."""

from django.db import transaction
from django.utils.timezone import now

from coordination import crypto
from coordination.documents import Tombstone
from pipelines import outbox, publishing, relay, rendering
from pipelines.models import Pipeline, Publication
from tasks.models import Task
from tests.etcd_server import wait_until
from tests.pipelines import makers


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
        assert not pipeline.is_published()
        assert publishing.held_back() == {pipeline.pk}
        assert outbox.unpublished([pipeline.pk]).get().error
        publishing.relay_pending()
    finally:
        console.etcd.start()
    wait_until(lambda: publishing.relay_pending() and pipeline.is_published(), "published by itself")
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
    assert not pipeline.is_published()
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
