"""A node that is retired: what it held is ordered away, and the ledger says what nobody will tell any more."""

from datetime import timedelta
from uuid import uuid4

import pytest
from django.utils import timezone

from coordination.documents import Tombstone
from logs.models import Run
from pipelines import closing, commands, publishing, resync
from pipelines.models import Binding, Pipeline, Publication
from tests.pipelines import makers
from tests.pipelines.makers import Console
from workers import lifecycle
from workers.enrolment import Applicant, enrol, make_token
from workers.models import Node

NOW = timezone.now


def test_it_holds_nothing_any_more_and_others_go_on(console: Console) -> None:
    leaving, staying = makers.node("a", labels={"site": "x"}), makers.node("b")
    by_name = makers.pipeline("p1", tasks=[makers.task()], nodes=[leaving, staying])
    by_label = makers.pipeline("p2", tasks=[makers.task("t2")], nodes=[], node_labels={"site": "x"})
    publishing.relay_pending()
    assert console.document(leaving, by_label.pk)
    lifecycle.retire(leaving.pk, NOW())
    for pipeline in (by_name, by_label):
        assert isinstance(console.held(leaving, pipeline.pk), Tombstone)
    assert console.document(staying, by_name.pk).generation
    assert list(Binding.objects.values_list("node", flat=True)) == [staying.pk]
    with pytest.raises(commands.Conflict, match="bound to no node"):
        commands.send_run(by_label, {}, None)


def test_its_keys_are_tidied_away_after_a_week(console: Console) -> None:
    leaving = makers.node("a")
    pipeline = makers.pipeline(tasks=[makers.task()], nodes=[leaving])
    publishing.relay_pending()
    lifecycle.retire(leaving.pk, NOW())
    publishing.resync()
    assert console.held(leaving, pipeline.pk), "it may come back to life, and is to find it"
    Publication.objects.update(wanted_at=NOW() - resync.FAREWELL - timedelta(seconds=1))
    publishing.resync()
    assert console.item(leaving, pipeline.pk) is None
    assert not Publication.objects.exists()


def test_it_comes_back_with_what_its_labels_bind(console: Console) -> None:
    node = makers.node("a", labels={"site": "x"})
    pipeline = makers.pipeline(tasks=[makers.task()], nodes=[], node_labels={"site": "x"})
    lifecycle.retire(node.pk, NOW())
    enrol(make_token(now=NOW(), node=node.pk)[0], Applicant("a", b"k" * 32, "m"), NOW())
    publishing.relay_pending()
    assert console.document(node, pipeline.pk)


@pytest.mark.django_db(transaction=True)
class TestTheLedger:
    def house(self, last_word: timedelta) -> tuple[Node, Pipeline]:
        """A pipeline of each minute; its node has spoken of all up to ``last_word`` ago."""
        node = makers.node("a", online=True, last_seen=NOW())
        pipeline = makers.pipeline(tasks=[makers.task()], nodes=[node])
        began = NOW() - timedelta(hours=1)
        Pipeline.objects.filter(pk=pipeline.pk).update_quietly(not_before=began)
        Publication.objects.update(not_before=began)
        self.run(node, pipeline, "succeeded", NOW() - last_word)
        return node, pipeline

    def run(self, node: Node, pipeline: Pipeline, state: str, at: object) -> Run:
        return Run.objects.create(
            uuid=uuid4(), pipeline=pipeline.pk, pipeline_name="p1", node=node.pk, node_name="a", state=state,
            trigger="schedule", scheduled_at=at, started_at=at,
        )  # fmt: skip

    def test_what_it_ran_is_lost_and_what_it_should_have_fired_is_missed(self) -> None:
        node, pipeline = self.house(timedelta(minutes=10))
        going = self.run(node, pipeline, "running", NOW() - timedelta(minutes=10))
        lifecycle.retire(node.pk, NOW())
        going.refresh_from_db()
        assert (going.state, "was retired at" in going.reason) == ("lost", True)
        missed = Run.objects.get(state="missed")
        assert missed.count in (9, 10)
        assert "what it had not delivered is left on its host" in missed.reason

    def test_nothing_is_added_afterwards(self) -> None:
        node, _ = self.house(timedelta(minutes=2))
        lifecycle.retire(node.pk, NOW())
        Node.objects.filter(pk=node.pk).update(online=False)
        held = list(Run.objects.order_by("id").values())
        for hours in (1, 2):
            assert closing.close(NOW() + timedelta(hours=hours)) == 0
        assert list(Run.objects.order_by("id").values()) == held


def test_nothing_is_begun_by_hand_on_a_node_that_drains(console: Console) -> None:
    one, two = makers.node("a"), makers.node("b")
    pipeline = makers.pipeline(tasks=[makers.task()], nodes=[one, two])
    lifecycle.drain(one.pk, NOW())
    [run] = commands.send_run(pipeline, {}, None)
    assert Run.objects.get(uuid=run).node == two.pk
    lifecycle.drain(two.pk, NOW())
    with pytest.raises(commands.Conflict, match="draining"):
        commands.send_run(pipeline, {}, None)
    with pytest.raises(commands.Conflict, match="draining"):
        commands.send_trial(makers.task("t9"), Node.objects.get(pk=one.pk), None)
