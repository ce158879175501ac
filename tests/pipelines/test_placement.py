"""What one node for each fire means to the documents: who may fire it, and from when on."""

from datetime import timedelta

import pytest
from django.utils.timezone import now

from coordination.documents import PipelineDocument, Tombstone
from pipelines import commands, publishing
from pipelines.models import CHANGEOVER, Binding, Pipeline
from tests.pipelines import makers
from workers.models import Node

SPREAD = Pipeline.Placement.ONE_SPREAD


def documents_of(console, pipeline: Pipeline, nodes: list[Node]) -> list[PipelineDocument]:
    publishing.relay_pending(10)
    return [console.document(node, pipeline.pk) for node in nodes]


def test_every_node_has_the_same_names_and_the_same_beginning(console):
    nodes = [makers.node(name) for name in ("n1", "n2")]
    pipeline = makers.pipeline(tasks=[makers.task()], nodes=nodes, placement=SPREAD)
    third = makers.node("n3")
    Binding.objects.create(pipeline=pipeline, node=third)
    found = documents_of(console, pipeline, [*nodes, third])
    assert {document.nodes for document in found} == {tuple(sorted(str(node.pk) for node in [*nodes, third]))}
    assert len({document.not_before for document in found}) == 1


def test_who_is_bound_first_catches_up_nothing_from_before(console):
    pipeline = makers.pipeline(tasks=[makers.task()], nodes=[], placement=SPREAD)
    Pipeline.objects.filter(pk=pipeline.pk).update_quietly(not_before=now() - timedelta(days=3))
    node = makers.node()
    Binding.objects.create(pipeline=pipeline, node=node)
    [document] = documents_of(console, pipeline, [node])
    assert document.not_before > now() - timedelta(seconds=10)


@pytest.mark.parametrize(("before", "after"), [("every", "one_sticky"), ("one_spread", "every")])
def test_a_change_of_hands_takes_effect_when_all_nodes_know(console, before, after):
    node = makers.node()
    pipeline = makers.pipeline(tasks=[makers.task()], nodes=[node], placement=before)
    pipeline.placement = after
    pipeline.save()
    changed = pipeline.not_before
    assert changed > now() + CHANGEOVER - timedelta(seconds=5)
    # An edit meanwhile does not take effect before it.
    pipeline.schedule = "*/7 * * * *"
    pipeline.save()
    [document] = documents_of(console, pipeline, [node])
    assert (document.placement, document.not_before) == (after, changed)


def test_from_sticky_to_spread_nothing_has_to_be_waited_for(console):
    pipeline = makers.pipeline(tasks=[makers.task()], nodes=[makers.node()], placement="one_sticky")
    pipeline.placement = SPREAD
    pipeline.save()
    assert pipeline.not_before <= now()


def test_in_bulk_it_waits_too(console):
    pipeline = makers.pipeline(tasks=[makers.task()], nodes=[makers.node()])
    Pipeline.objects.filter(pk=pipeline.pk).update(placement=SPREAD)
    pipeline.refresh_from_db()
    assert pipeline.not_before > now() + CHANGEOVER - timedelta(seconds=5)
    Pipeline.objects.filter(pk=pipeline.pk).update(schedule="@daily")
    later = Pipeline.objects.get(pk=pipeline.pk)
    assert later.not_before == pipeline.not_before


def test_a_tombstone_says_whether_others_go_on(console):
    nodes = [makers.node(name) for name in ("n1", "n2")]
    pipeline = makers.pipeline(tasks=[makers.task()], nodes=nodes, placement=SPREAD)
    for node, reason in zip(nodes, ("unbound", "disabled"), strict=True):
        Binding.objects.filter(node=node).delete()
        publishing.relay_pending(10)
        stone = console.held(node, pipeline.pk)
        assert isinstance(stone, Tombstone)
        assert stone.reason == reason


def test_by_hand_one_node_runs_it_and_rather_one_that_is_there(console):
    nodes = [makers.node(f"n{number}") for number in range(4)]
    Node.objects.filter(pk=nodes[2].pk).update(online=True)
    pipeline = makers.pipeline(tasks=[makers.task()], nodes=nodes, placement=SPREAD)
    assert len(commands.send_run(pipeline, {}, None)) == 1
    [key] = [item.key for item in console.gateway.snapshot(f"{console.keys.prefix}/commands/").items]
    assert console.keys.parse_command(key)[0] == str(nodes[2].pk)
