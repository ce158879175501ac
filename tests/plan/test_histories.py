"""Random histories: whatever the order of edits, pauses, clock steps, restarts and slow runs, each expected instant
ends in exactly one ledger entry, and nothing that has passed is decided again."""

from collections import Counter
from datetime import UTC, datetime, timedelta
from typing import Any

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from coordination.documents import PipelineDocument
from coordination.records import TERMINAL
from tests.plan.fires import Every
from workers.engine.plan import Decision, Fire, Kill, Plan

NOON = datetime(2026, 3, 1, 12, 0, 0, tzinfo=UTC)
OVERLAPS = st.sampled_from(["allow", "skip", "queue", "replace"])
MISFIRES = st.sampled_from(["skip", "latest", "all"])


class Histories(RuleBasedStateMachine):
    """One pipeline on one worker. ``fates`` counts final ledger entries by instant; a waiting one is not final."""

    def __init__(self) -> None:
        super().__init__()
        self.now = NOON
        self.fates: Counter[datetime] = Counter()
        self.going: dict[str, datetime] = {}
        self.waiting: set[datetime] = set()
        self.cursor: datetime | None = None
        self.generation = 0
        self.document: PipelineDocument | None = None
        self.period = 0
        self.floor = NOON
        self.paused = self.draining = False
        self.start()

    # -- the world ----------------------------------------------------------------------------------------------

    def start(self) -> None:
        """A worker begins, with what its journal kept."""
        cursors = {"p": self.cursor} if self.cursor else {}
        self.plan = Plan("n", started_at=self.now, born=NOON, cursors=cursors)
        self.take(self.plan.pause(self.paused, self.now))
        self.take(self.plan.drain(self.draining, self.now))
        if self.document:
            self.take(self.plan.put(self.document, Every(self.period), self.now))

    def take(self, decisions: list[Decision]) -> None:
        for decision in decisions:
            if isinstance(decision, Kill):
                assert decision.run in self.going
            elif isinstance(decision, Fire):
                assert decision.run not in self.going
                self.going[decision.run] = decision.scheduled_at
                self.waiting.discard(decision.scheduled_at)
                self.decided(decision.scheduled_at, decision.scheduled_at, 1)
            else:
                record = decision.record
                if record.state in TERMINAL:
                    self.waiting.discard(record.scheduled_at)
                    self.decided(record.scheduled_at, record.until or record.scheduled_at, record.count)
                else:
                    self.waiting.add(record.scheduled_at)
                    self.cursor = max(self.cursor or NOON, record.scheduled_at)

    def decided(self, first: datetime, last: datetime, count: int) -> None:
        instants = Every(self.period).between(first - timedelta(microseconds=1), last, 10**6) if count > 1 else [first]
        assert len(instants) == count
        self.fates.update(instants)
        self.cursor = max(self.cursor or NOON, last)

    def drain(self) -> None:
        while decisions := self.plan.due(self.now, limit=7):
            self.take(decisions)

    def expect_all_up_to(self, bound: datetime) -> None:
        for instant in Every(self.period).between(self.floor, bound, 10**6):
            assert self.fates[instant] == 1 or instant in self.waiting, (instant, self.fates[instant])

    # -- what happens -------------------------------------------------------------------------------------------

    @rule(seconds=st.one_of(st.floats(0, 3), st.floats(0, 90), st.sampled_from([400.0, 15_000.0])))
    def time_passes(self, seconds: float) -> None:
        self.now += timedelta(seconds=round(seconds, 3))

    @rule(seconds=st.floats(0.001, 120))
    def clock_set_back(self, seconds: float) -> None:
        self.now -= timedelta(seconds=round(seconds, 3))

    @rule()
    def timer(self) -> None:
        self.drain()
        if self.document and not self.document.paused and not (self.paused or self.draining):
            self.expect_all_up_to(self.now)

    @rule(period=st.sampled_from([1, 2, 7, 30]), overlap=OVERLAPS, misfire=MISFIRES, paused=st.booleans())
    def edit(self, period: int, overlap: Any, misfire: Any, paused: bool) -> None:
        before, old = self.floor, self.document
        self.generation += 1
        document = PipelineDocument(
            pipeline="p",
            node="n",
            generation=self.generation,
            not_before=self.now,
            name="p",
            schedule="",
            overlap=overlap,
            misfire=misfire,
            misfire_cap=5,
            paused=paused,
        )
        decisions = self.plan.put(document, Every(period), self.now)
        self.take(decisions)
        if old:
            self.floor = before
            self.expect_all_up_to(self.now)
        self.document, self.period = document, period
        self.floor = max(self.now, self.cursor or NOON, before)

    @precondition(lambda self: self.document)
    @rule()
    def remove(self) -> None:
        self.take(self.plan.remove("p", self.now, self.now))
        self.expect_all_up_to(self.now)
        self.floor = max(self.floor, self.now, self.cursor or NOON)
        self.document = None

    @rule(draining=st.booleans())
    def drain_the_node(self, draining: bool) -> None:
        self.draining = draining
        self.take(self.plan.drain(draining, self.now))

    @rule(paused=st.booleans())
    def pause_everything(self, paused: bool) -> None:
        self.paused = paused
        self.take(self.plan.pause(paused, self.now))

    @precondition(lambda self: self.going)
    @rule(data=st.data())
    def run_ends(self, data: st.DataObject) -> None:
        run = data.draw(st.sampled_from(sorted(self.going)))
        del self.going[run]
        self.take(self.plan.ended("p", run))

    @rule(down=st.floats(0, 400))
    def restart(self, down: float) -> None:
        """Killed: what was going is lost, what was waiting is closed by recovery; both are in the journal."""
        self.going.clear()
        self.fates.update(self.waiting)
        self.waiting.clear()
        self.now += timedelta(seconds=round(down, 3))
        self.start()

    @invariant()
    def never_twice(self) -> None:
        assert all(count == 1 for count in self.fates.values())


TestHistories = Histories.TestCase
TestHistories.settings = settings(max_examples=400, stateful_step_count=40)
