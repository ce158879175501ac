"""What must be true afterwards: nothing missed, nothing doubled, and the ledger tells what happened."""

from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from itertools import combinations, pairwise

from coordination.documents import PipelineDocument
from coordination.fires import FireRecord
from coordination.identity import SHARED, fire_run_id
from tests.simulation.console import Version
from tests.simulation.executions import Execution
from tests.simulation.ledger import AGAINST, Ledger, Row
from tests.simulation.schedule import every
from tests.simulation.world import World, seconds
from workers.engine.claims_fire import grace
from workers.engine.claims_scene import LOST_DATA

EARLY = 2.1
"""Seconds an execution may be early: the clocks are allowed 2."""

FINISHING = 8.0
"""Seconds after which the record knows that a run has ended."""


@dataclass
class History:
    """What the simulation saw of the record: the generations that took effect, and where knowledge was lost whole."""

    adopted: set[int] = field(default_factory=set)
    ever_adopted: set[int] = field(default_factory=set)
    blank: list[tuple[datetime, datetime]] = field(default_factory=list)
    """Epochs that began without any memory: when, and the instants up to when they do not know of."""

    last: FireRecord | None = None


class Checker:
    """Looks at one pipeline."""

    def __init__(
        self,
        world: World,
        *,
        document: PipelineDocument,
        versions: Sequence[Version],
        history: History,
        executions: Sequence[Execution],
        ledger: Ledger,
        troubles: Sequence[tuple[str, float, float]],
        nodes: Sequence[str],
        first: datetime,
        until: datetime,
    ) -> None:
        self._world = world
        self._document = document
        self._versions = versions
        self._history = history
        self._executions = executions
        self._ledger = ledger
        self._troubles = troubles
        self._nodes = nodes
        self._first = first
        self._until = until
        self._gaps = [row for row in ledger.rows.values() if row.record.count > 1]

    def check(self) -> None:
        """Every promise."""
        expected = set(self.expected())
        for instant in sorted(expected):
            self._check_instant(instant)
        self._check_executions()
        self._check_overlap()
        self._check_record()
        known = {execution.instant for execution in self._executions}
        for instant in sorted(known - expected):
            if not self._expected_by_somebody(instant):
                self._world.violate(f"{seconds(instant)} ran and was never expected")

    def expected(self) -> Iterator[datetime]:
        """The instants of each version that took effect, from its beginning to the next one's."""
        chain: list[Version] = []
        for version in self._versions:
            if version.generation in self._history.adopted:
                chain = [*(older for older in chain if older.at < version.at), version]
        if self._versions[-1] not in chain and self._versions[-1].schedule:
            self._world.violate("the last edit never took effect")
        ends = [version.at for version in chain[1:]] + [self._until]
        blanks = self._history.blank
        for version, end in zip(chain, ends, strict=True):
            if version.schedule:
                start = max(version.at, self._first)
                for instant in every(version.schedule).between(start, min(end, self._until), 100_000):
                    if not any(instant <= cutoff and self._nobody_knew(created) for created, cutoff in blanks):
                        yield instant

    def _nobody_knew(self, created: datetime) -> bool:
        """No node was well while the new epoch settled, so nobody could give it a memory."""
        start, end = seconds(created) - 5, seconds(created) + 35
        return {who for who, a, b in self._troubles if who and _meet(a, b, start, end)} == set(self._nodes)

    def _expected_by_somebody(self, instant: datetime) -> bool:
        """By an older version, before the change had reached the node that claimed it."""
        return any(
            version.schedule and every(version.schedule).next(instant).timestamp() and _fits(version, instant)
            for version in self._versions
        )

    def _check_instant(self, instant: datetime) -> None:
        row = self._ledger.rows.get(fire_run_id(self._document.pipeline, instant, SHARED, 1))
        gap = next((gap for gap in self._gaps if gap.record.scheduled_at <= instant <= gap.record.until), None)
        record = self._history.last
        if record is not None and instant in record.open and self._waits(record):
            return
        if row is None and gap is None:
            self._world.violate(f"{seconds(instant)} is missing from the ledger")
        elif row is not None and row.record.state == "missed":
            self._check_missed(instant, row)

    def _check_missed(self, instant: datetime, row: Row) -> None:
        """With a node that was well all the time, nothing is missed but what an edit or a lost etcd took away."""
        start, end = seconds(instant) - 45, seconds(instant) + grace(self._document).total_seconds()
        reason = row.record.reason
        lately_edited = any(start < seconds(version.at) < end for version in self._versions)
        if (
            reason == LOST_DATA
            or lately_edited
            or any(who == "" and _meet(a, b, start, end) for who, a, b in self._troubles)
        ):
            return
        ill = {who for who, a, b in self._troubles if _meet(a, b, start, end)}
        well = [node for node in self._nodes if node not in ill]
        if well:
            self._world.violate(f"{seconds(instant)} was missed ({reason}) although {well} were well")

    def _check_executions(self) -> None:
        by_name: dict[tuple[datetime, int], list[Execution]] = defaultdict(list)
        by_instant: dict[datetime, list[Execution]] = defaultdict(list)
        for execution in self._executions:
            by_name[execution.instant, execution.attempt].append(execution)
            by_instant[execution.instant].append(execution)
            if execution.right_end is not None and execution.right_end < seconds(self._until):
                self._check_row(execution)
            if execution.start < seconds(execution.instant) - EARLY:
                self._world.violate(f"{seconds(execution.instant)} ran at {execution.start}: too early")
        for (instant, attempt), twice in by_name.items():
            if len(twice) > 1:
                self._world.violate(f"attempt {attempt} of {seconds(instant)} ran {len(twice)} times: {_tell(twice)}")
        for instant, many in by_instant.items():
            if len(many) > 1 and self._document.on_node_loss == "abandon":
                self._world.violate(f"{seconds(instant)} ran {len(many)} times: {_tell(many)}")
            for one, other in combinations(many, 2):
                if _overlap(one, other):
                    self._world.violate(f"two attempts of {seconds(instant)} at once: {_tell((one, other))}")
        fences = sorted(self._executions, key=lambda execution: execution.start)
        self._check_fences(fences)

    def _check_fences(self, ordered: Sequence[Execution]) -> None:
        """Within one filling of etcd, a later attempt of an instant has the higher fence."""
        by_instant: dict[datetime, list[Execution]] = defaultdict(list)
        for execution in ordered:
            by_instant[execution.instant].append(execution)
        if any(who == "" for who, _, _ in self._troubles):
            return
        for attempts in by_instant.values():
            for one, other in pairwise(sorted(attempts, key=lambda entry: entry.attempt)):
                if one.fence >= other.fence:
                    self._world.violate(f"fence {other.fence} does not follow {one.fence}")

    def _check_row(self, execution: Execution) -> None:
        row = self._ledger.rows.get(execution.run)
        what = f"{seconds(execution.instant)}/{execution.attempt} ran on {execution.node}"
        if row is None:
            self._world.violate(f"{what} and has no row")
        elif row.record.state in AGAINST:
            self._world.violate(f"{what} and the ledger says {row.record.state}")
        elif row.record.state == "running" and not execution.is_going:
            self._world.violate(f"{what} and the ledger never heard the end")
        for gap in self._gaps:
            record = gap.record
            if record.reason != LOST_DATA and record.scheduled_at <= execution.instant <= record.until:
                self._world.violate(f"{what} and the ledger has a gap of {record.state}")

    def _check_overlap(self) -> None:
        if self._document.overlap != "skip":
            return
        ordered = sorted(self._executions, key=lambda execution: execution.start)
        for one, other in pairwise(ordered):
            if _overlap(one, other):
                self._world.violate(f"two runs at once, though overlap is skip: {_tell((one, other))}")

    def _check_record(self) -> None:
        """In the end nothing is left lying."""
        record = self._history.last
        if record is None:
            self._world.violate("there is no record")
            return
        stale = [instant for instant in record.open if instant < self._until]
        if stale and record.timing is not None and not self._waits(record):
            self._world.violate(f"{len(stale)} instants are still open, from {seconds(stale[0])}")
        lately = self._world.now - FINISHING
        going = {run.run for run in self._executions if run.right_end is None or run.right_end > lately}
        for run in record.runs:
            name = fire_run_id(self._document.pipeline, run.instant, SHARED, run.attempt)
            if name not in going and run.instant < self._until:
                self._world.violate(f"{seconds(run.instant)} counts as running on {run.node} and is not")

    def _waits(self, record: FireRecord) -> bool:
        """What is caught up waits for the run before it."""
        return bool(self._document.misfire != "skip" and self._document.overlap == "skip" and record.runs)


def _fits(version: Version, instant: datetime) -> bool:
    schedule = every(version.schedule)
    return bool(instant > version.at and (seconds(instant) - schedule.offset) % schedule.period == 0)


def _meet(start: float, end: float, other_start: float, other_end: float) -> bool:
    return start < other_end and other_start < end


def _overlap(one: Execution, other: Execution) -> bool:
    ends = [execution.right_end if execution.right_end is not None else float("inf") for execution in (one, other)]
    return one.start < ends[1] - 1e-9 and other.start < ends[0] - 1e-9


def _tell(executions: Sequence[Execution]) -> str:
    return ", ".join(
        f"{entry.node} attempt {entry.attempt} {entry.start:.3f}-{entry.right_end or float('inf'):.3f}"
        for entry in executions
    )
