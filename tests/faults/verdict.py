"""What must be true of a real cluster afterwards: what was expected, what the jobs say and what the ledger says have to
agree, and every difference has a kind. For shared pipelines the simulation's checker looks at it, too. Pure."""

import re
from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from datetime import UTC, datetime, timedelta
from itertools import pairwise

from coordination.records import RunRecord
from tests.faults.account import Begun
from tests.faults.facts import Entry, Happened, Kind, Pipeline, Trouble, Violation
from tests.simulation.checker import Checker, History
from tests.simulation.console import Version
from tests.simulation.executions import Execution
from tests.simulation.ledger import Ledger, Row
from tests.simulation.schedule import every
from tests.simulation.world import World, seconds
from workers.engine.claims_fire import grace
from workers.engine.claims_scene import LOST_DATA
from workers.engine.definitions import REMOVED
from workers.engine.plan import OVERLAP

RAN = frozenset({"succeeded", "failed", "timed_out", "killed", "lost"})
"""States of a run that may have begun."""

WELL_FOR = timedelta(seconds=20)
"""A worker that was well for so long in a row has claimed whatever was to be claimed."""

BEGINS_IN = timedelta(seconds=5)
"""What fires so shortly before a worker is killed may not have begun. What is well begins sooner."""

AFTERMATH = timedelta(seconds=20)
"""A shared run may feel a trouble for so long after its end: a lease, and a margin."""

CLOCK_SET = timedelta(seconds=70)
"""Of a node whose clock is set by a minute: so wrong may be what it says of its runs."""

EARLY = timedelta(seconds=0.1)
"""Jobs tell the time in hundredths of a second."""


def violations(pipelines: Iterable[Pipeline], happened: Happened) -> list[Violation]:
    """Every broken promise."""
    entries, executions = defaultdict(list), defaultdict(list)
    for item in happened.entries:
        entries[item.record.pipeline].append(item)
    for execution in happened.executions:
        executions[execution.pipeline].append(execution)
    found = []
    for pipeline in pipelines:
        name = pipeline.document.pipeline
        verdict = _Verdict(pipeline, happened, entries.pop(name, []), executions.pop(name, []))
        for violation in verdict.violations():
            found.append(Violation(violation.kind, f"{pipeline.document.name} ({name}): {violation.text}"))
    for name, jobs in executions.items():
        found.append(Violation("extra", f"{len(jobs)} jobs ran of pipeline {name}, which is not of this scenario"))
    return found


class _Verdict:
    """Looks at one pipeline."""

    def __init__(
        self, pipeline: Pipeline, happened: Happened, entries: Sequence[Entry], executions: Sequence[Begun]
    ) -> None:
        self._pipeline = pipeline
        self._document = pipeline.document
        self._happened = happened
        self._entries = [item for item in entries if item.record.scheduled_at <= happened.until]
        self._rows = {item.record.run: item for item in entries}
        self._ever = executions
        self._jobs_by_run = {begun.run: begun for begun in executions}
        self._executions = [begun for begun in executions if begun.instant <= happened.until]

    def violations(self) -> Iterator[Violation]:
        yield from self._ledger()
        yield from self._holes()
        yield from self._jobs()
        yield from self._whenever()
        yield from self._begun_in_time()
        yield from self._succeeded()
        if self._pipeline.is_shared:
            yield from (Violation("protocol", line) for line in self._as_simulated())
            yield from self._attempts()
        yield from self._missed()

    # -- the ledger, for itself ---------------------------------------------------------------------------------

    def _ledger(self) -> Iterator[Violation]:
        """Each row is final and says why nothing ran; no two speak of the same."""
        seen = set()
        for item in self._entries:
            record = item.record
            what = f"{record.scheduled_at} attempt {record.attempt}"
            name = (record.scheduled_at, record.attempt, self._whose(item.node), record.count > 1)
            if name in seen:
                yield Violation("doubled", f"{what} has two rows")
            seen.add(name)
            if record.state == "running":
                yield Violation("unexplained", f"{what} never ended")
            elif record.state != "succeeded":
                yield from self._explained(item, what)

    def _explained(self, item: Entry, what: str) -> Iterator[Violation]:
        record = item.record
        if not record.reason:
            yield Violation("unexplained", f"{what} is {record.state} and nobody says why")
            return
        if record.state == "skipped" and record.reason == OVERLAP and self._document.overlap == "skip":
            if not self._was_another_going(item) and not self._was_skipped_in_trouble(item):
                yield Violation("unexplained", f"{what} is skipped for the previous run, and none was going")
            return
        if record.state == "missed" and record.reason == REMOVED and self._was_about_to_end(record.scheduled_at):
            return
        allowed = self._happened.reasons
        if allowed is not None and not any(re.fullmatch(pattern, record.reason) for pattern in allowed):
            yield Violation("unexplained", f"{what} is {record.state}, and this fault is no reason: {record.reason}")
        if record.state in RAN and not self._was_troubled(item):
            yield Violation("unexplained", f"{what} is {record.state} in calm: {record.reason}")
        if record.state == "skipped" and not self._was_skipped_in_trouble(item):
            yield Violation("unexplained", f"{what} is skipped in calm: {record.reason}")

    def _was_about_to_end(self, instant: datetime) -> bool:
        """What is not claimed yet when its pipeline is disabled is not claimed any more: a standby waits a little."""
        ended = self._pipeline.ended
        return self._pipeline.is_shared and ended is not None and instant + BEGINS_IN > ended

    def _was_troubled(self, item: Entry) -> bool:
        """Whether a trouble that concerns it met the row's time, or came close to that. A job that came to its end was
        not lost by what happened later."""
        record, job = item.record, self._jobs_by_run.get(item.record.run)
        ended = job.ended if job else None
        moments = [record.scheduled_at, ended or record.finished_at or self._happened.now or self._happened.until]
        if job:
            moments.append(job.began)
        nodes = ("", item.node) if item.node else ("", *self._pipeline.nodes)
        return self._felt(item, nodes, min(moments), max(moments))

    def _was_another_going(self, skipped: Entry) -> bool:
        """A run counts as going from its instant until its end is known, which is slow where the kernel is emulated."""
        instant = skipped.record.scheduled_at
        for job in self._ever:
            row = self._rows.get(job.run)
            ended = job.ended or (row.record.finished_at if row else None) or job.began
            slack = BEGINS_IN * (3 if job.node in self._happened.slow else 1)
            whose = self._whose(job.node) == self._whose(skipped.node)
            if whose and min(job.instant, job.began) - BEGINS_IN <= instant <= ended + slack:
                return True
        return False

    def _was_skipped_in_trouble(self, item: Entry) -> bool:
        """A shared one may have been skipped for what any of its nodes was in."""
        nodes = ("", *self._pipeline.nodes) if self._pipeline.is_shared else ("", item.node)
        return self._felt(item, nodes, item.record.scheduled_at, item.record.until or item.record.scheduled_at)

    def _felt(self, item: Entry, nodes: Iterable[str], start: datetime, end: datetime) -> bool:
        """Whether one of these nodes was in trouble between the two, or shortly before or after."""
        wrong = CLOCK_SET if item.node in self._happened.slow else timedelta()
        start -= wrong + (AFTERMATH if self._pipeline.is_shared else BEGINS_IN)
        end += wrong + BEGINS_IN
        return any(self._concerns(entry, nodes) and _meet(entry, start, end) for entry in self._happened.troubles)

    def _holes(self) -> Iterator[Violation]:
        """Every instant has its row, or is within a gap's; never both."""
        expected = self._pipeline.expected(self._happened.until)
        for node in {self._whose(node) for node in self._pipeline.nodes}:
            mine = [item.record for item in self._entries if self._whose(item.node) == node]
            single = {record.scheduled_at for record in mine if record.count == 1 and record.attempt == 1}
            gaps = [record for record in mine if record.count > 1]
            for gap in gaps:
                covered = every(f"{self._pipeline.period} 0").between(
                    gap.scheduled_at - timedelta(microseconds=1), gap.until or gap.scheduled_at, 1_000_000
                )
                if len(covered) != gap.count or not single.isdisjoint(covered):
                    text = f"the gap of {gap.count} from {gap.scheduled_at} to {gap.until} says more or less than it is"
                    yield Violation("unexplained", text)
            for instant in expected:
                within = [gap for gap in gaps if gap.scheduled_at <= instant <= (gap.until or gap.scheduled_at)]
                entries = (instant in single) + len(within)
                if entries != 1:
                    kind: Kind = "doubled" if entries else "lost"
                    yield Violation(kind, f"{instant} has {entries} entries{f' on {node}' if node else ''}")

    def _whose(self, node: str) -> str:
        """Every node owes a row of its own, but for a shared pipeline."""
        return "" if self._pipeline.is_shared else node

    # -- the jobs against the ledger ----------------------------------------------------------------------------

    def _jobs(self) -> Iterator[Violation]:
        for job in self._executions:
            what = _name(job)
            item = self._rows.get(job.run)
            if item is None:
                yield Violation("extra", f"{what} ran and has no row")
                continue
            row = item.record
            if row.state not in RAN or row.count > 1:
                yield Violation("unexplained", f"{what} ran and the ledger says {row.state}")
            elif (row.scheduled_at, row.attempt, item.node) != (job.instant, job.attempt, job.node):
                text = f"{what} ran and the ledger says {row.scheduled_at}/{row.attempt} on {item.node}"
                yield Violation("unexplained", text)

    def _whenever(self) -> Iterator[Violation]:
        """What must not be, however long after the pipeline was disabled it is."""
        began: dict[str, datetime] = {}
        for job in self._ever:
            what = _name(job)
            if job.run in began:
                yield Violation("doubled", f"{what} ran twice")
            began[job.run] = job.began
            if job.clashed:
                yield Violation("doubled", f"{what} began while another was going")
            # A clock that is ahead runs early what would be due much later.
            if not self._pipeline.is_due(job.instant) or self._pipeline.is_over(min(job.instant, job.began)):
                yield Violation("extra", f"{what} ran and was never expected")
        for item in self._rows.values():
            record = item.record
            moment = min(record.scheduled_at, began.get(record.run, record.scheduled_at))
            if self._pipeline.is_due(record.scheduled_at) and not self._pipeline.is_over(moment):
                continue
            if self._pipeline.is_due(record.scheduled_at) and self._is_in_trouble(item, moment):
                continue
            what = f"{record.scheduled_at} attempt {record.attempt}"
            yield Violation("extra", f"{what} has a row ({record.state}) and was never expected")

    def _is_in_trouble(self, item: Entry, moment: datetime) -> bool:
        """Its clock may be ahead."""
        troubles = self._happened.troubles
        return any(self._concerns(entry, ("", item.node)) and _meet(entry, moment, moment) for entry in troubles)

    def _begun_in_time(self) -> Iterator[Violation]:
        """Not before its instant, and soon after it, as far as nothing stood in the way; and the ledger knows."""
        for job in self._executions:
            item = self._rows.get(job.run)
            if job.attempt > 1 or self._was_hampered(job):
                continue
            late = job.began - job.instant
            if late < -EARLY:
                yield Violation("early", f"{_name(job)} began {-late.total_seconds():.1f} s early")
            if job.node in self._happened.slow:
                continue
            if late > BEGINS_IN:
                yield Violation("late", f"{_name(job)} began {late.total_seconds():.1f} s late")
            started = item.record.started_at if item else None
            if started is not None and abs(started - job.began) > BEGINS_IN:
                yield Violation("unexplained", f"{_name(job)} began at {job.began}, and the ledger says {started}")

    def _was_hampered(self, job: Begun) -> bool:
        """A shared fire may have been anybody's who was in trouble then."""
        start = job.instant
        nodes: tuple[str, ...] = ("", job.node)
        if self._pipeline.is_shared:
            start, nodes = start - grace(self._document), ("", *self._pipeline.nodes)
        return any(self._concerns(entry, nodes) and _meet(entry, start, job.began) for entry in self._happened.troubles)

    def _concerns(self, trouble: Trouble, nodes: Iterable[str]) -> bool:
        return trouble.node in nodes and (trouble.scope == "all" or self._pipeline.is_shared)

    def _succeeded(self) -> Iterator[Violation]:
        for item in self._entries:
            record = item.record
            job = self._jobs_by_run.get(record.run)
            if record.state == "succeeded" and (job is None or job.ended is None):
                text = f"{record.scheduled_at} attempt {record.attempt} succeeded without having run"
                yield Violation("extra", text)

    # -- shared pipelines ---------------------------------------------------------------------------------------

    def _attempts(self) -> Iterator[Violation]:
        """Each attempt follows a lost one; the last one is not lost where it is to be run again."""
        by_instant = defaultdict(list)
        for item in self._entries:
            by_instant[item.record.scheduled_at].append(item.record)
        for instant, records in by_instant.items():
            numbers = sorted(record.attempt for record in records)
            if not all(self._follows(one, other) for one, other in pairwise([0, *numbers])):
                yield Violation("lost", f"{instant} has the attempts {numbers}")
            last = max(records, key=lambda record: record.attempt)
            if self._document.on_node_loss == "rerun" and last.state == "lost":
                yield Violation("lost", f"{instant} was lost and not run again")
            if self._document.on_node_loss == "abandon" and len(records) > 1:
                yield Violation("doubled", f"{instant} was to be abandoned and has the attempts {numbers}")

    def _follows(self, attempt: int, other: int) -> bool:
        """When etcd has lost its data, nobody knows what it knew of attempts: they go on at the next ten."""
        data_lost = any(entry.data for entry in self._happened.troubles)
        return other == attempt + 1 or (data_lost and attempt > 0 and other == attempt // 10 * 10 + 11)

    def _missed(self) -> Iterator[Violation]:
        """Nothing is missed that a worker could have run in time."""
        for item in self._entries:
            record = item.record
            if record.state != "missed" or record.attempt > 1:
                continue
            nodes = self._pipeline.nodes if self._pipeline.is_shared else (item.node,)
            well = [node for node in nodes if self._was_well(node, record)]
            if well:
                yield Violation("lost", f"{record.scheduled_at} was missed ({record.reason}) although {well} were well")

    def _was_well(self, node: str, missed: RunRecord) -> bool:
        troubles = [entry for entry in self._happened.troubles if self._concerns(entry, ("", node))]
        if missed.reason == LOST_DATA and any(entry.data and entry.since <= missed.scheduled_at for entry in troubles):
            return False
        ends = (missed.scheduled_at, missed.until or missed.scheduled_at)
        if self._pipeline.is_shared:
            last = self._pipeline.ended or datetime.max.replace(tzinfo=UTC)
            return any(_calm(instant, min(instant + grace(self._document), last), troubles) for instant in ends)
        return any(not any(entry.since - BEGINS_IN <= instant <= entry.until for entry in troubles) for instant in ends)

    def _as_simulated(self) -> list[str]:
        """What the simulation's checker says. Its trouble of nobody is that etcd has lost its data."""
        world = World(0)
        world.now = seconds(self._happened.now or self._happened.until)
        ledger = Ledger(world)
        ledger.rows = {item.record.run: Row(item.record, item.node) for item in self._rows.values()}
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
            troubles=list(self._simulated_troubles()),
            nodes=self._pipeline.nodes,
            first=self._pipeline.since,
            until=self._happened.until,
        ).check()
        return world.violations

    def _simulated_troubles(self) -> Iterator[tuple[str, float, float]]:
        for item in self._happened.troubles:
            names = self._pipeline.nodes if item.node == "" and not item.data else (item.node,)
            for name in names:
                yield name, seconds(item.since), seconds(item.until)


def _name(job: Begun) -> str:
    return f"{job.instant} attempt {job.attempt} on {job.node}"


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


def _meet(trouble: Trouble, start: datetime, end: datetime) -> bool:
    return trouble.since <= end and start <= trouble.until


def _calm(start: datetime, end: datetime, troubles: Iterable[Trouble]) -> bool:
    """Whether it was well for long enough in a row between the two."""
    calm_since = start
    for trouble in sorted(troubles, key=lambda entry: entry.since):
        if min(trouble.since, end) - calm_since >= WELL_FOR:
            return True
        calm_since = max(calm_since, trouble.until)
    return end - calm_since >= WELL_FOR
