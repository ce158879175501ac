"""A made-up history of two pipelines, good as it is, that tests spoil."""

from datetime import UTC, datetime, timedelta
from typing import Any

from msgspec.structs import replace

from coordination.documents import PipelineDocument
from coordination.fires import FireRecord
from coordination.identity import SHARED, fire_run_id
from coordination.records import RunRecord
from tests.faults.account import Begun
from tests.faults.facts import Entry, Happened, Pipeline, Trouble, Violation, to_judge
from tests.faults.verdict import violations

START = datetime(2030, 5, 1, tzinfo=UTC)
COUNT = 40
NODES = ("a", "b")


class Story:
    """Every second one of two nodes runs a shared pipeline, and ``a`` runs one of its own. The third shared fire was
    lost on ``a`` and run again on ``b``."""

    def __init__(self) -> None:
        self.shared = _document("shared", placement="one_spread", on_node_loss="rerun", overlap="skip", nodes=NODES)
        self.own = _document("own")
        self.entries: dict[tuple[str, int, int], Entry] = {}
        self.begun: dict[tuple[str, int, int], Begun] = {}
        self.record = FireRecord(epoch=1, mark=at(COUNT))
        self.more: list[Begun] = []
        self.troubles = [Trouble("a", at(2), at(7))]
        self.ended: datetime | None = None
        self.reasons: tuple[str, ...] | None = None
        self.slow = frozenset[str]()
        for second in range(1, COUNT + 1):
            self._ran(self.shared, second, NODES[second % 2])
            self._ran(self.own, second, "a")
        self.end("shared", 3, state="lost", reason="the worker died")
        self.entries["shared", 3, 1] = Entry(self.entries["shared", 3, 1].record, "a")
        self.begun["shared", 3, 1].node = "a"
        self.begun["shared", 3, 1].ended = None
        self._ran(self.shared, 3, "b", attempt=2)

    def found(self) -> list[Violation]:
        pipelines = [
            Pipeline(self.shared, NODES, 1, START, self.ended),
            Pipeline(self.own, ("a",), 1, START, self.ended),
        ]
        begun = to_judge([*self.begun.values(), *self.more], ("shared", "own"), START)
        records = {"shared": self.record}
        now = at(COUNT + 100)
        entries = list(self.entries.values())
        happened = Happened(at(COUNT), entries, begun, records, self.troubles, now, self.reasons, self.slow)
        return violations(pipelines, happened)

    def end(self, pipeline: str, second: int, attempt: int = 1, **values: object) -> None:
        item = self.entries[pipeline, second, attempt]
        self.entries[pipeline, second, attempt] = Entry(replace(item.record, **values), item.node)

    def missed(self, pipeline: str, second: int, reason: str = "nobody was there") -> None:
        self.end(pipeline, second, state="missed", reason=reason)
        del self.begun[pipeline, second, 1]

    def skipped(self, pipeline: str, second: int, reason: str) -> None:
        self.end(pipeline, second, state="skipped", reason=reason)
        del self.begun[pipeline, second, 1]

    def gap(self, pipeline: str, first: int, last: int, count: int) -> None:
        """The node was not there from the first second to the last."""
        for second in range(first + 1, last + 1):
            del self.entries[pipeline, second, 1], self.begun[pipeline, second, 1]
        self.missed(pipeline, first)
        self.end(pipeline, first, run=f"gap {first}", count=count, until=at(last))

    def goes_on(self, document: PipelineDocument, first: int, last: int) -> None:
        """It fires so many seconds after it was disabled."""
        self.ended = at(COUNT)
        for second in range(COUNT + first, COUNT + last + 1):
            self._ran(document, second, "a")

    def _ran(self, document: PipelineDocument, second: int, node: str, attempt: int = 1) -> None:
        name = document.pipeline
        whose = node if name == "own" else SHARED
        run = fire_run_id(name, at(second), whose, attempt)
        began = at(second + (attempt - 1) * 0.5)
        job = Begun(name, at(second), run, attempt, node, second * 10 + attempt, began, began + timedelta(seconds=0.4))
        row = RunRecord(
            run=run, pipeline=name, pipeline_name=name, state="succeeded", trigger="schedule", scheduled_at=at(second),
            attempt=attempt,
        )  # fmt: skip
        self.begun[name, second, attempt] = job
        self.entries[name, second, attempt] = Entry(row, node)


def _document(name: str, **values: Any) -> PipelineDocument:
    return PipelineDocument(
        pipeline=name, node="a", generation=1, not_before=START, name=name, schedule="* * * * * *", **values
    )


def at(second: float) -> datetime:
    return START + timedelta(seconds=second)
