"""The whole question: one pipeline, one instant, one node or all of them."""

from datetime import datetime

from django.utils.translation import gettext as _

from pipelines import outbox
from pipelines.explaining import circumstances, ledger
from pipelines.explaining.answer import Answer, Explanation
from pipelines.explaining.circumstances import Case
from pipelines.explaining.expectation import expectation
from pipelines.models import Pipeline
from workers.models import Node


def explain(pipeline: Pipeline, at: datetime, node: Node | None, now: datetime) -> Explanation:
    """``at`` is aware. Without ``node``: each node that is bound; a shared pipeline has one answer for all of them.

    The ledger's word comes first; where it has none, the definition that held then, and then what stands between.
    """
    expected = expectation(pipeline, at)
    case = Case(pipeline, at, now)
    if pipeline.is_shared:
        answers = [_shared(case, expected.against)]
    else:
        nodes = [node] if node else _bound(pipeline)
        answers = [_on(case, each, expected.against) for each in nodes]
        answers = answers or [Answer("", "not expected", (*expected.against, _("It is bound to no node.")))]
    before, after = expected.around(at)
    return Explanation(pipeline.name, at, before, after, tuple(answers))


def _on(case: Case, node: Node, against: tuple[str, ...]) -> Answer:
    # A pipeline may have been a shared one then.
    found = ledger.rows(case.pipeline.pk, case.at, node.pk) or ledger.rows(case.pipeline.pk, case.at, None)
    if found:
        return ledger.answer(node.name, found, case.pipeline.timezone)
    if against:
        return Answer(node.name, "not expected", against)
    return circumstances.of_node(case, node)


def _shared(case: Case, against: tuple[str, ...]) -> Answer:
    if found := ledger.rows(case.pipeline.pk, case.at, None):
        return ledger.answer("", found, case.pipeline.timezone)
    if against:
        return Answer("", "not expected", against)
    return circumstances.of_all(case)


def _bound(pipeline: Pipeline) -> list[Node]:
    nodes = outbox.bound_nodes(Pipeline.objects.filter(pk=pipeline.pk))[pipeline.pk]
    return list(Node.objects.filter(pk__in=nodes).order_by("name"))
