"""What is taken from a node, and what it catches up when it gets something anew."""

from datetime import timedelta

from django.utils.timezone import now

from coordination.documents import Tombstone
from coordination.gateway import Put
from pipelines import publishing
from pipelines.models import Binding, Pipeline, Publication
from tests.pipelines import makers


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
