"""What must be true of a real cluster afterwards: the simulation's checker over what really happened, and beyond it
what only a real ledger and real jobs can tell. Pure."""

from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any

from coordination.documents import PipelineDocument
from coordination.fires import FireRecord
from coordination.records import RunRecord
from tests.faults.account import Begun
from tests.simulation.checker import Checker, History
from tests.simulation.console import Version
from tests.simulation.executions import Execution
from tests.simulation.ledger import Ledger, Row
from tests.simulation.schedule import every
from tests.simulation.world import World, seconds
from workers.engine.claims_fire import grace

RAN = frozenset({"succeeded", "failed", "timed_out", "killed", "lost"})
"""States of a run that may have begun."""

WELL_FOR = timedelta(seconds=20)
"""A worker that was well for so long in a row has claimed whatever was to be claimed."""

BEGINS_IN = timedelta(seconds=5)
"""What fires so shortly before a worker is killed may not have begun."""


@dataclass(frozen=True, slots=True)
class Trouble:
    """A fault of one node, until it was seen to be well again."""

    node: str
    since: datetime
    until: datetime


@dataclass(frozen=True, slots=True)
class Pipeline:
    """A pipeline that fires every ``period`` seconds. Instants after ``since`` are expected."""

    document: PipelineDocument
    period: int
    since: datetime

    @property
    def is_shared(self) -> bool:
        """Run by one node, not by each."""
        return self.document.placement != "every"

    def expected(self, until: datetime) -> list[datetime]:
        """Beyond doubt: not computed by the engine that fires."""
        return every(f"{self.period} 0").between(self.since, until, 1_000_000)


@dataclass(frozen=True, slots=True)
class Entry:
    """A row of the ledger and the node that it names."""

    record: RunRecord
    node: str


@dataclass(slots=True)
class Happened:
    """All that is known afterwards. ``records`` are those of etcd, by pipeline."""

    until: datetime
    entries: Sequence[Entry]
    executions: Sequence[Begun]
    records: dict[str, FireRecord] = field(default_factory=dict)
    troubles: Sequence[Trouble] = ()
    now: datetime | None = None


def entry(row: dict[str, Any]) -> Entry:
    """A row as the API lists it."""
    moments = ("scheduled_at", "started_at", "finished_at", "until")
    at = {name: datetime.fromisoformat(row[name]) if row[name] else None for name in moments}
    names = ("pipeline", "pipeline_name", "state", "trigger", "attempt", "generation", "count", "reason")
    record = RunRecord(run=row["id"], **{name: row[name] for name in names}, **at)
    return Entry(record, row["node"])


def violations(pipelines: Iterable[Pipeline], happened: Happened) -> list[str]:
    """Every broken promise, in words."""
    entries, executions = defaultdict(list), defaultdict(list)
    for item in happened.entries:
        entries[item.record.pipeline].append(item)
    for execution in happened.executions:
        executions[execution.pipeline].append(execution)
    found = []
    for pipeline in pipelines:
        name = pipeline.document.pipeline
        for line in _Verdict(pipeline, happened, entries[name], executions[name]).lines():
            found.append(f"{pipeline.document.name} ({name}): {line}")
    return found


class _Verdict:
    """Looks at one pipeline."""

    def __init__(
        self, pipeline: Pipeline, happened: Happened, entries: Sequence[Entry], executions: Sequence[Begun]
    ) -> None:
        self._pipeline = pipeline
        self._document = pipeline.document
        self._happened = happened
        self._entries = entries
        self._executions = [begun for begun in executions if begun.instant <= happened.until]

    def lines(self) -> Iterator[str]:
        yield from self._rows()
        yield from self._holes()
        yield from self._jobs()
        if self._pipeline.is_shared:
            yield from self._as_simulated()
            yield from self._attempts()
        yield from self._missed()

    # -- the ledger, for itself ---------------------------------------------------------------------------------

    def _rows(self) -> Iterator[str]:
        """Each row is final and says why nothing ran; no two speak of the same."""
        seen = set()
        for item in self._entries:
            record = item.record
            if record.scheduled_at > self._happened.until:
                continue
            name = (record.scheduled_at, record.attempt, self._whose(item.node), record.count > 1)
            if name in seen:
                yield f"{record.scheduled_at} attempt {record.attempt} has two rows"
            seen.add(name)
            if record.state == "running":
                yield f"{record.scheduled_at} attempt {record.attempt} never ended"
            elif record.state not in RAN and not record.reason:
                yield f"{record.scheduled_at} is {record.state} and nobody says why"

    def _holes(self) -> Iterator[str]:
        """Every instant has its row, or is within a gap's; never both."""
        expected = self._pipeline.expected(self._happened.until)
        for node in {self._whose(node) for node in self._document.nodes}:
            mine = [item.record for item in self._entries if self._whose(item.node) == node]
            single = {record.scheduled_at for record in mine if record.count == 1 and record.attempt == 1}
            gaps = [record for record in mine if record.count > 1]
            for gap in gaps:
                covered = every(f"{self._pipeline.period} 0").between(
                    gap.scheduled_at - timedelta(microseconds=1), gap.until or gap.scheduled_at, 1_000_000
                )
                if len(covered) != gap.count or not single.isdisjoint(covered):
                    yield f"the gap of {gap.count} from {gap.scheduled_at} to {gap.until} says more or less than it is"
            for instant in expected:
                within = [gap for gap in gaps if gap.scheduled_at <= instant <= (gap.until or gap.scheduled_at)]
                if (instant in single) + len(within) != 1:
                    yield f"{instant} has {(instant in single) + len(within)} entries{f' on {node}' if node else ''}"

    def _whose(self, node: str) -> str:
        """Every node owes a row of its own, but for a shared pipeline."""
        return "" if self._pipeline.is_shared else node

    # -- the jobs against the ledger ----------------------------------------------------------------------------

    def _jobs(self) -> Iterator[str]:
        rows = {item.record.run: item for item in self._entries}
        begun: dict[str, Begun] = {}
        for job in self._executions:
            what = f"{job.instant} attempt {job.attempt} on {job.node}"
            if job.run in begun:
                yield f"{what} ran twice"
            begun[job.run] = job
            if job.clashed:
                yield f"{what} began while another was going"
            row = rows.get(job.run)
            if row is None:
                yield f"{what} ran and has no row"
            elif row.record.state not in RAN or row.record.count > 1:
                yield f"{what} ran and the ledger says {row.record.state}"
            elif (row.record.scheduled_at, row.record.attempt, row.node) != (job.instant, job.attempt, job.node):
                yield f"{what} ran and the ledger says {row.record.scheduled_at}/{row.record.attempt} on {row.node}"
        for run, item in rows.items():
            if item.record.state == "succeeded" and item.record.scheduled_at <= self._happened.until:
                job = begun.get(run)
                if job is None or job.ended is None:
                    yield f"{item.record.scheduled_at} attempt {item.record.attempt} succeeded without having run"

    # -- shared pipelines ---------------------------------------------------------------------------------------

    def _attempts(self) -> Iterator[str]:
        """Each attempt follows a lost one; the last one is not lost where it is to be run again."""
        by_instant = defaultdict(list)
        for item in self._entries:
            if item.record.scheduled_at <= self._happened.until:
                by_instant[item.record.scheduled_at].append(item.record)
        for instant, records in by_instant.items():
            numbers = sorted(record.attempt for record in records)
            if numbers != list(range(1, len(records) + 1)):
                yield f"{instant} has the attempts {numbers}"
            last = max(records, key=lambda record: record.attempt)
            if self._document.on_node_loss == "rerun" and last.state == "lost":
                yield f"{instant} was lost and not run again"
            if self._document.on_node_loss == "abandon" and len(records) > 1:
                yield f"{instant} was to be abandoned and has the attempts {numbers}"

    def _missed(self) -> Iterator[str]:
        """Nothing is missed that a worker could have claimed in time."""
        for item in self._entries:
            record = item.record
            if record.state != "missed" or record.attempt > 1 or record.scheduled_at > self._happened.until:
                continue
            nodes = self._document.nodes if self._pipeline.is_shared else (item.node,)
            well = [node for node in nodes if self._was_well(node, record.scheduled_at)]
            if well:
                yield f"{record.scheduled_at} was missed ({record.reason}) although {well} were well"

    def _was_well(self, node: str, instant: datetime) -> bool:
        troubles = [trouble for trouble in self._happened.troubles if trouble.node == node]
        if self._pipeline.is_shared:
            return _calm(instant, instant + grace(self._document), troubles)
        return not any(trouble.since - BEGINS_IN <= instant <= trouble.until for trouble in troubles)

    def _as_simulated(self) -> list[str]:
        """What the simulation's checker says."""
        world = World(0)
        world.now = seconds(self._happened.now or self._happened.until)
        ledger = Ledger(world)
        ledger.rows = {item.record.run: Row(item.record, item.node) for item in self._entries}
        record = self._happened.records.get(self._document.pipeline)
        history = History(adopted={self._document.generation}, last=record)
        schedule = f"{self._pipeline.period} 0"
        Checker(
            world,
            document=self._document,
            versions=[Version(self._document.generation, self._pipeline.since, schedule, self._document)],
            history=history,
            executions=[_execution(begun) for begun in self._executions],
            ledger=ledger,
            troubles=[(entry.node, seconds(entry.since), seconds(entry.until)) for entry in self._happened.troubles],
            nodes=self._document.nodes,
            first=self._pipeline.since,
            until=self._happened.until,
        ).check()
        return world.violations


def _execution(begun: Begun) -> Execution:
    """One that did not come to its end is counted as a moment: that it is gone in time, its lock tells."""
    ended = begun.ended or begun.began
    return Execution(
        pipeline=begun.pipeline,
        instant=begun.instant,
        attempt=begun.attempt,
        node=begun.node,
        run=begun.run,
        fence=begun.fence,
        start=seconds(begun.began),
        ends_at=seconds(ended),
        session="",
        right_end=seconds(ended),
    )


def _calm(start: datetime, end: datetime, troubles: Iterable[Trouble]) -> bool:
    """Whether it was well for long enough in a row between the two."""
    calm_since = start
    for trouble in sorted(troubles, key=lambda entry: entry.since):
        if min(trouble.since, end) - calm_since >= WELL_FOR:
            return True
        calm_since = max(calm_since, trouble.until)
    return end - calm_since >= WELL_FOR
