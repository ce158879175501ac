"""What is known of a cluster afterwards, and the kinds of promises that can be broken. Pure."""

from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any, Literal

from coordination.documents import PipelineDocument
from coordination.fires import FireRecord
from coordination.records import RunRecord
from tests.faults.account import Begun
from tests.simulation.schedule import every
from tests.simulation.world import seconds

HEARD_IN = timedelta(seconds=20)
"""A removal has reached every worker that is well."""

Kind = Literal["lost", "doubled", "late", "early", "extra", "unexplained", "orphan", "protocol"]
"""``lost``: an expected fire that nothing speaks of, or that did not run although it could. ``extra``: one that nobody
expected, or a job and a row that miss their counterpart. ``unexplained``: the ledger does not say why, or something
else than the jobs. ``orphan``: a process that is left. ``protocol``: what the simulation's checker says."""

KINDS: tuple[Kind, ...] = ("lost", "doubled", "late", "early", "extra", "unexplained", "orphan", "protocol")


@dataclass(frozen=True, slots=True)
class Violation:
    """A broken promise."""

    kind: Kind
    text: str

    def __str__(self) -> str:
        return f"{self.kind}: {self.text}"


@dataclass(frozen=True, slots=True)
class Trouble:
    """A fault of one node, or, with ``node`` empty, of what all need, until it was seen to be well again.

    ``scope``: it concerns all pipelines, or only the shared ones. ``data``: etcd has lost what it held.
    """

    node: str
    since: datetime
    until: datetime
    scope: Literal["all", "shared"] = "all"
    data: bool = False


@dataclass(frozen=True, slots=True)
class Pipeline:
    """A pipeline that fires every ``period`` seconds, bound to these nodes. Instants after ``since`` are expected, up
    to ``ended``, just before it was disabled; the console had it so at ``disabled``, with many of them much later."""

    document: PipelineDocument
    nodes: tuple[str, ...]
    period: int
    since: datetime
    ended: datetime | None = None
    disabled: datetime | None = None

    @property
    def is_shared(self) -> bool:
        """Run by one node, not by each."""
        return self.document.placement != "every"

    def expected(self, until: datetime) -> list[datetime]:
        """Beyond doubt: not computed by the engine that fires."""
        return every(f"{self.period} 0").between(self.since, min(until, self.ended or until), 1_000_000)

    def is_due(self, instant: datetime) -> bool:
        """An instant of its schedule, since it was made."""
        return seconds(instant) % self.period == 0 and self.since < instant

    def is_over(self, moment: datetime) -> bool:
        """Everybody has heard by then that it is disabled."""
        last = self.disabled or self.ended
        return last is not None and moment > last + HEARD_IN


def to_judge(executions: Iterable[Begun], pipelines: Collection[str], since: datetime) -> list[Begun]:
    """What ran of these pipelines, and whatever else ran since that moment: nothing should. What was disabled just
    before it may run until all have heard."""

    def is_late(begun: Begun) -> bool:
        # A fire of before may be run again when its node is harmed now.
        return min(begun.began, begun.instant) > since + HEARD_IN

    return [begun for begun in executions if begun.pipeline in pipelines or is_late(begun)]


@dataclass(frozen=True, slots=True)
class Entry:
    """A row of the ledger and the node that it names."""

    record: RunRecord
    node: str


@dataclass(slots=True)
class Happened:
    """All that is known afterwards. ``records`` are those of etcd, by pipeline. ``reasons``: patterns of the reasons
    that the ledger may give for what did not run; None: any. ``slow`` are nodes whose kernel is emulated: how late
    their jobs begin is not judged."""

    until: datetime
    entries: Sequence[Entry]
    executions: Sequence[Begun]
    records: dict[str, FireRecord] = field(default_factory=dict)
    troubles: Sequence[Trouble] = ()
    now: datetime | None = None
    reasons: Sequence[str] | None = None
    slow: frozenset[str] = frozenset()


def entry(row: dict[str, Any]) -> Entry:
    """A row as the API lists it."""
    moments = ("scheduled_at", "started_at", "finished_at", "until")
    at: dict[str, Any] = {name: datetime.fromisoformat(row[name]) if row[name] else None for name in moments}
    names = ("pipeline", "pipeline_name", "state", "trigger", "attempt", "generation", "count", "reason")
    record = RunRecord(run=row["id"], **{name: row[name] for name in names}, **at)
    return Entry(record, row["node"])
