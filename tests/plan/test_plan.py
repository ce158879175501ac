"""The plan's rules one by one, with a clock that the test moves."""

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from coordination.documents import PipelineDocument
from tests.plan.fires import Every
from workers.engine.plan import DRAINING, Decision, Fire, Kill, Note, Plan

NOON = datetime(2026, 3, 1, 12, 0, 0, tzinfo=UTC)


def at(seconds: float) -> datetime:
    return NOON + timedelta(seconds=seconds)


def document(pipeline: str = "p", *, generation: int = 1, not_before: datetime = NOON, **more: Any) -> PipelineDocument:
    return PipelineDocument(
        pipeline=pipeline,
        node="n",
        generation=generation,
        not_before=not_before,
        name=pipeline,
        schedule="* * * * * *",
        **more,
    )


def plan(*, started_at: datetime = NOON, born: datetime = NOON, cursors: dict[str, datetime] | None = None) -> Plan:
    return Plan("n", started_at=started_at, born=born, cursors=cursors or {})


def told(decisions: list[Decision]) -> list[tuple[Any, ...]]:
    """Decisions as short tuples: what, seconds after noon, why."""
    out: list[tuple[Any, ...]] = []
    for decision in decisions:
        if isinstance(decision, Fire):
            out.append(("fire", (decision.scheduled_at - NOON).total_seconds(), decision.trigger))
        elif isinstance(decision, Note):
            record = decision.record
            out.append((record.state, (record.scheduled_at - NOON).total_seconds(), record.reason))
        else:
            out.append(("kill", decision.run, decision.reason))
    return out


def only_fire(decisions: list[Decision]) -> Fire:
    [decision] = decisions
    assert isinstance(decision, Fire)
    return decision


def test_fires_each_instant_once() -> None:
    it = plan()
    it.put(document(overlap="allow"), Every(10), NOON)
    assert it.next_wake() == at(10)
    assert it.due(at(9.999)) == []
    assert told(it.due(at(10))) == [("fire", 10, "schedule")]
    assert it.due(at(10)) == []
    assert told(it.due(at(30.5))) == [("fire", 20, "schedule"), ("fire", 30, "schedule")]


def test_a_backward_clock_never_refires() -> None:
    it = plan()
    it.put(document(overlap="allow"), Every(10), NOON)
    it.due(at(35))
    assert it.due(at(5)) == []
    assert it.due(at(35)) == []
    assert told(it.due(at(40))) == [("fire", 40, "schedule")]


def test_a_clock_that_was_ahead_is_noticed() -> None:
    it = plan()
    it.put(document(overlap="allow"), Every(10), NOON)
    assert it.decided_until(NOON) is None
    it.due(at(3600))
    assert it.decided_until(at(3600)) is None
    assert it.decided_until(at(60)) == at(3600)
    assert it.due(at(60)) == []


def test_an_edit_never_replays_the_past() -> None:
    it = plan()
    it.put(document(overlap="allow"), Every(10), NOON)
    it.due(at(30))
    assert it.put(document(generation=2, not_before=at(33), overlap="allow"), Every(5), at(33.1)) == []
    assert told(it.due(at(40))) == [("fire", 35, "schedule"), ("fire", 40, "schedule")]


def test_an_edit_settles_what_was_due_before_it() -> None:
    it = plan()
    it.put(document(overlap="allow"), Every(10), NOON)
    decisions = it.put(document(generation=2, not_before=at(12)), Every(7), at(12.5))
    assert told(decisions) == [("fire", 10, "schedule")]
    assert it.next_wake() == at(14)


def test_an_edit_of_something_else_keeps_the_cursor() -> None:
    it = plan()
    it.put(document(overlap="allow"), Every(10), NOON)
    it.due(at(10))
    it.put(document(generation=2, overlap="allow", timeout=5), Every(10), at(10.001))
    assert told(it.due(at(20))) == [("fire", 20, "schedule")]


def test_what_passed_while_down_is_missed_by_default() -> None:
    it = plan(started_at=at(35), born=at(-1000), cursors={"p": at(10)})
    it.put(document(), Every(10), at(35))
    assert told(it.due(at(35))) == [("missed", s, "the worker was not running") for s in (20, 30)]
    assert told(it.due(at(40))) == [("fire", 40, "schedule")]


def test_latest_runs_only_the_last_missed() -> None:
    it = plan(started_at=at(35), born=at(-1000), cursors={"p": at(0)})
    it.put(document(misfire="latest"), Every(10), at(35))
    assert [t[:2] for t in told(it.due(at(35)))] == [("missed", 10), ("missed", 20), ("fire", 30)]


def test_all_runs_them_one_after_another_up_to_the_cap() -> None:
    it = plan(started_at=at(55), born=at(-1000), cursors={"p": at(0)})
    it.put(document(misfire="all", misfire_cap=3), Every(10), at(55))
    decisions = it.due(at(55))
    assert [t[:2] for t in told(decisions)] == [
        ("missed", 10),
        ("missed", 20),
        ("fire", 30),
        ("running", 40),
        ("running", 50),
    ]
    first = decisions[2]
    assert isinstance(first, Fire)
    second = only_fire(it.ended("p", first.run))
    assert (second.scheduled_at, second.trigger) == (at(40), "catch_up")
    assert only_fire(it.ended("p", second.run)).scheduled_at == at(50)


def test_the_window_bounds_what_is_caught_up() -> None:
    it = plan(started_at=at(55), born=at(-1000), cursors={"p": at(0)})
    it.put(document(misfire="all", misfire_window=20, overlap="allow"), Every(10), at(55))
    assert [t[:2] for t in told(it.due(at(55)))] == [
        ("missed", 10),
        ("missed", 20),
        ("missed", 30),
        ("fire", 40),
        ("fire", 50),
    ]


def test_a_long_absence_is_a_gap_with_a_count() -> None:
    it = plan(started_at=at(25_000), born=at(-1000), cursors={"p": NOON})
    it.put(document(), Every(1), at(25_000))
    rows: list[tuple[int, float]] = []
    while decisions := it.due(at(25_000)):
        for decision in decisions:
            assert isinstance(decision, Note)
            assert decision.record.state == "missed"
            rows.append((decision.record.count, (decision.record.scheduled_at - NOON).total_seconds()))
    assert rows == [(10_000, 1), (10_000, 10_001), (5_000, 20_001)]
    assert it.next_wake() == at(25_001)


def test_late_within_the_grace_still_fires_and_beyond_it_is_a_misfire() -> None:
    it = plan()
    it.put(document(misfire_grace=15, overlap="allow"), Every(10), NOON)
    assert [t[:2] for t in told(it.due(at(40)))] == [("missed", 10), ("missed", 20), ("fire", 30), ("fire", 40)]


def test_no_fire_before_the_journal_was_born() -> None:
    it = plan(started_at=at(100), born=at(95))
    it.put(document(not_before=at(-100_000)), Every(10), at(100.5))
    assert told(it.due(at(101))) == [("missed", 100, "the worker was not running")]


def test_overlap_skip_says_so() -> None:
    it = plan()
    it.put(document(overlap="skip"), Every(10), NOON)
    first = only_fire(it.due(at(10)))
    assert told(it.due(at(20))) == [("skipped", 20, "the previous run was still going")]
    assert it.ended("p", first.run) == []
    assert told(it.due(at(30))) == [("fire", 30, "schedule")]


def test_overlap_queue_holds_one() -> None:
    it = plan()
    it.put(document(overlap="queue"), Every(10), NOON)
    first = only_fire(it.due(at(10)))
    assert told(it.due(at(20))) == [("running", 20, "waiting for the previous run to end")]
    assert told(it.due(at(30))) == [("skipped", 30, "one fire is waiting already")]
    assert only_fire(it.ended("p", first.run)).scheduled_at == at(20)


def test_overlap_replace_kills_and_then_runs_the_newest() -> None:
    it = plan()
    it.put(document(overlap="replace"), Every(10), NOON)
    first = only_fire(it.due(at(10)))
    kill, waiting = it.due(at(20))
    assert isinstance(kill, Kill)
    assert kill.run == first.run
    assert told([waiting]) == [("running", 20, "waiting for the previous run to end")]
    assert [t[:2] for t in told(it.due(at(30)))] == [("kill", first.run), ("skipped", 20), ("running", 30)]
    assert only_fire(it.ended("p", first.run)).scheduled_at == at(30)


def test_a_manual_run_counts_for_overlap() -> None:
    it = plan()
    it.put(document(), Every(10), NOON)
    it.began("p", "by-hand")
    assert told(it.due(at(10)))[0][0] == "skipped"
    it.ended("p", "by-hand")
    assert told(it.due(at(20))) == [("fire", 20, "schedule")]


def test_a_pause_is_told_in_gaps_and_ends_at_once() -> None:
    it = plan()
    it.put(document(overlap="allow"), Every(1), NOON)
    it.pause(True, at(0.5))
    assert it.next_wake() == at(60.5)
    assert told(it.due(at(60.5))) == [("skipped", s, "paused") for s in range(1, 61)]
    assert told(it.pause(False, at(62.5))) == [("skipped", 61, "paused"), ("skipped", 62, "paused")]
    assert told(it.due(at(63))) == [("fire", 63, "schedule")]


def test_a_node_that_drains_begins_nothing_and_says_why() -> None:
    it = plan()
    it.put(document(overlap="queue"), Every(1), NOON)
    [going] = it.due(at(1))
    assert isinstance(going, Fire)
    assert told(it.due(at(2))) == [("running", 2, "waiting for the previous run to end")]
    assert told(it.drain(True, at(2.5))) == []
    assert told(it.ended("p", going.run)) == [("skipped", 2, DRAINING)]
    assert it.drain(True, at(3.5)) == []
    assert told(it.drain(False, at(5.5))) == [("skipped", s, DRAINING) for s in (3, 4, 5)]
    assert told(it.due(at(6))) == [("fire", 6, "schedule")]


def test_draining_and_pausing_end_one_by_one() -> None:
    it = plan()
    it.put(document(overlap="allow"), Every(10), NOON)
    it.pause(True, at(1))
    it.drain(True, at(2))
    assert told(it.pause(False, at(11))) == [("skipped", 10, "paused")]
    assert told(it.drain(False, at(21))) == [("skipped", 20, DRAINING)]
    assert told(it.due(at(30))) == [("fire", 30, "schedule")]


def test_what_drains_when_it_starts_catches_nothing_up() -> None:
    it = plan(started_at=at(35), cursors={"p": at(10)})
    it.drain(True, at(35))
    it.put(document(overlap="allow", misfire="all"), Every(10), at(35))
    it.put(document("boot"), Every(1, is_reboot=True), at(35))
    assert told(it.reboot()) == [("skipped", 35, DRAINING)]
    assert ("skipped", 20, DRAINING) in told(it.due(at(100)))
    assert not [decision for decision in it.due(at(100)) if isinstance(decision, Fire)]


def test_a_paused_document_does_not_fire() -> None:
    it = plan()
    it.put(document(overlap="allow", paused=True), Every(10), NOON)
    assert it.due(at(59)) == []
    decisions = it.put(document(generation=2, not_before=at(59), overlap="allow"), Every(10), at(59))
    assert told(decisions) == [("skipped", s, "paused") for s in (10, 20, 30, 40, 50)]
    assert told(it.due(at(60))) == [("fire", 60, "schedule")]


def test_removal_settles_up_to_the_removal_and_no_further() -> None:
    it = plan()
    it.put(document(overlap="allow"), Every(10), NOON)
    assert told(it.remove("p", at(15), at(25))) == [("fire", 10, "schedule")]
    assert it.due(at(100)) == []
    assert it.next_wake() is None


def test_a_pipeline_removed_while_down_is_not_caught_up() -> None:
    it = plan(started_at=at(50), born=at(-1000), cursors={"p": at(0)})
    it.put(document(misfire="all"), Every(10), at(50))
    assert [t[:2] for t in told(it.remove("p", at(25), at(50)))] == [("missed", 10), ("missed", 20)]


def test_reboot_fires_at_the_start_only() -> None:
    it = plan(started_at=at(5), born=at(-10))
    it.put(document(), Every(1, is_reboot=True), at(6))
    it.put(document("new", not_before=at(5.5)), Every(1, is_reboot=True), at(6))
    it.put(document("resting", paused=True), Every(1, is_reboot=True), at(6))
    assert told(it.reboot()) == [("fire", 5, "schedule"), ("skipped", 5, "paused")]
    assert it.next_wake() is None


def test_a_blackout_is_told() -> None:
    it = plan()
    it.put(document(overlap="allow"), Every(10, blackouts={at(20): "holidays"}), NOON)
    assert told(it.due(at(20))) == [("fire", 10, "schedule"), ("skipped", 20, "blackout: holidays")]


def test_jitter_delays_the_start_and_not_the_name() -> None:
    it = plan()
    it.put(document(jitter=6, misfire_grace=1, overlap="allow"), Every(10, delay=4), NOON)
    assert it.next_wake() == at(14)
    assert it.due(at(13)) == []
    assert told(it.due(at(14.5))) == [("fire", 10, "schedule")]


def test_a_start_during_the_jitter_still_fires() -> None:
    it = plan(started_at=at(22), born=at(-1000), cursors={"p": NOON})
    it.put(document(jitter=6, overlap="allow"), Every(10, delay=4), at(22))
    assert [t[:2] for t in told(it.due(at(24)))] == [("missed", 10), ("fire", 20)]


@pytest.mark.parametrize("limit", [1, 3])
def test_due_in_slices_decides_the_same(limit: int) -> None:
    it = plan()
    for name in "abc":
        it.put(document(name, overlap="allow"), Every(10), NOON)
    decided: list[Decision] = []
    while part := it.due(at(50), limit=limit):
        decided += part
    assert sorted(told(decided)) == sorted([("fire", s, "schedule") for s in (10, 20, 30, 40, 50)] * 3)
