"""The verdict over made-up histories: a good one passes, and each way in which it can be spoilt is noticed."""

import dataclasses
from collections.abc import Callable
from datetime import timedelta

import pytest
from msgspec.structs import replace

from coordination.fires import Claim
from tests.faults.account import Begun
from tests.faults.facts import KINDS, Entry, Kind, Trouble, Violation
from tests.faults.run import Result
from tests.faults.story import COUNT, NODES, Story, at
from workers.engine.definitions import REMOVED
from workers.engine.plan import OVERLAP


def test_a_good_history_passes() -> None:
    story = Story()
    story.gap("own", 4, 6, 3)
    story.skipped("own", 7, "etcd could not be reached")
    story.skipped("shared", 5, OVERLAP)
    assert story.found() == []


def test_what_a_trouble_ended_while_it_was_going_passes() -> None:
    story = Story()
    story.troubles.append(Trouble("a", at(30), at(35)))
    story.end("own", 20, state="lost", reason="the worker stopped while it was running", finished_at=at(34))
    story.begun["own", 20, 1].ended = None
    assert story.found() == []


def test_what_is_skipped_for_a_run_that_is_going_passes() -> None:
    story = Story()
    for second in range(16, 31):
        story.skipped("shared", second, OVERLAP)
    story.begun["shared", 15, 1].ended = at(30)
    assert story.found() == []


def test_what_still_fires_of_the_scenario_before_passes_until_all_have_heard() -> None:
    story = Story()
    story.more += [replace_pipeline(story.begun["own", second, 1], "before") for second in range(1, 16)]
    story.more.append(dataclasses.replace(story.more[0], attempt=2, began=at(30), ended=at(31)))
    assert story.found() == []


def test_what_fires_before_all_have_heard_that_it_is_disabled_passes() -> None:
    story = Story()
    story.goes_on(story.own, 1, 15)
    assert story.found() == []


def test_what_a_clock_ahead_ran_early_passes_however_late_it_was_due() -> None:
    story = Story()
    story.troubles.append(Trouble("a", at(COUNT - 5), at(COUNT + 70)))
    story.goes_on(story.own, 1, 60)
    for second in range(COUNT + 1, COUNT + 60):
        story.begun["own", second, 1].began = at(COUNT - 1)
    del story.begun["own", COUNT + 60, 1]
    assert story.found() == []


def test_what_nobody_could_run_may_be_missed() -> None:
    story = Story()
    story.missed("shared", 4)
    story.troubles = [Trouble(node, at(-60), at(90)) for node in NODES]
    assert story.found() == []


def test_what_was_yet_to_be_claimed_when_its_pipeline_was_disabled_may_be_missed() -> None:
    story = Story()
    story.missed("shared", COUNT, REMOVED)
    story.reasons = ("the worker died",)
    story.ended = at(COUNT + 0.5)
    assert story.found() == []
    story.ended = at(COUNT + 60)
    assert {violation.kind for violation in story.found()} >= {"lost", "unexplained"}


def test_how_late_an_emulated_node_begins_is_not_judged() -> None:
    story = Story()
    _late(story)
    assert [violation.kind for violation in story.found()] == ["late"]
    story.slow = frozenset({"a"})
    assert story.found() == []


def test_attempts_go_on_at_the_next_ten_when_etcd_has_lost_its_data() -> None:
    story = Story()
    story.troubles.append(Trouble("", at(2), at(7), data=True))
    item = story.entries.pop(("shared", 3, 2))
    story.entries["shared", 3, 11] = Entry(replace(item.record, attempt=11), item.node)
    story.begun["shared", 3, 2].attempt = 11
    assert story.found() == []


def _no_row(story: Story) -> None:
    del story.entries["shared", 4, 1], story.begun["shared", 4, 1]


def _no_row_for_a_job(story: Story) -> None:
    del story.entries["own", 4, 1]


def _two_rows(story: Story) -> None:
    story.entries["own", 4, 2] = Entry(replace(story.entries["own", 4, 1].record, run="another"), "a")


def _never_ended(story: Story) -> None:
    story.end("own", 4, state="running")


def _no_reason(story: Story) -> None:
    story.missed("own", 4, reason="")


def _ran_twice(story: Story) -> None:
    story.more.append(story.begun["shared", 4, 1])


def _ran_twice_elsewhere(story: Story) -> None:
    job = story.begun["shared", 4, 1]
    began = job.began + timedelta(seconds=5)
    story.more.append(Begun(job.pipeline, job.instant, job.run, 1, "b", 7, began, began))


def _ran_although_missed(story: Story) -> None:
    story.end("own", 4, state="missed", reason="the worker was not running")


def _clash(story: Story) -> None:
    story.begun["shared", 3, 2].clashed = True


def _at_once(story: Story) -> None:
    story.begun["shared", 4, 1].ended = at(5.2)


def _not_run_by_whom_the_ledger_says(story: Story) -> None:
    story.entries["shared", 4, 1] = Entry(story.entries["shared", 4, 1].record, "b")


def _succeeded_without_a_job(story: Story) -> None:
    del story.begun["own", 4, 1]


def _succeeded_without_an_end(story: Story) -> None:
    story.begun["own", 4, 1].ended = None


def _gap_too_wide(story: Story) -> None:
    story.gap("own", 4, 6, 3)
    story.end("own", 4, until=at(7))


def _gap_too_narrow(story: Story) -> None:
    story.gap("own", 4, 6, 3)
    story.end("own", 4, count=2, until=at(5))


def _missed_while_well(story: Story) -> None:
    story.missed("own", 9)


def _missed_while_some_were_well(story: Story) -> None:
    story.missed("shared", 4)


def _lost_for_good(story: Story) -> None:
    story.end("shared", 3, 2, state="lost", reason="the worker died")


def _an_attempt_is_missing(story: Story) -> None:
    story.entries["shared", 3, 3] = Entry(replace(story.entries["shared", 3, 2].record, run="x", attempt=3), "b")
    del story.entries["shared", 3, 2], story.begun["shared", 3, 2]


def _abandoned_and_run_again(story: Story) -> None:
    story.shared = replace(story.shared, on_node_loss="abandon")


def _fence_falls(story: Story) -> None:
    story.begun["shared", 3, 2].fence = 3


def _early(story: Story) -> None:
    story.begun["shared", 9, 1].began = at(6)


def _left_open(story: Story) -> None:
    story.record = replace(story.record, open=(at(4),), timing=None)
    story.record = replace(story.record, runs=(Claim(instant=at(4), attempt=1, node="a", session="s", nonce="n"),))


def _late(story: Story) -> None:
    job = story.begun["own", 9, 1]
    job.began, job.ended = at(15), at(15.4)


def _own_early(story: Story) -> None:
    story.begun["own", 9, 1].began = at(8.5)


def _the_ledger_says_another_start(story: Story) -> None:
    story.end("own", 9, started_at=at(30))


def _never_expected(story: Story) -> None:
    job = story.begun["own", 9, 1]
    job.instant = at(9.5)


def _a_row_never_expected(story: Story) -> None:
    story.missed("own", 9)
    story.end("own", 9, scheduled_at=at(9.5))


def _after_its_end(story: Story) -> None:
    story.ended = at(-5)


def _all_lost_in_calm(story: Story) -> None:
    for second in range(1, COUNT + 1):
        story.end("own", second, state="lost", reason="the node that ran it was lost")


def _killed_in_the_trouble_of_others(story: Story) -> None:
    story.troubles.append(Trouble("b", at(25), at(35)))
    story.troubles.append(Trouble("", at(25), at(35), "shared"))
    story.end("own", 30, state="killed", reason="its right to run was over")


def _lost_after_its_end(story: Story) -> None:
    story.end("own", 20, state="lost", reason="the node that ran it was lost", finished_at=at(36))
    story.troubles.append(Trouble("a", at(30), at(35)))


def _shared_lost_in_calm(story: Story) -> None:
    story.end("shared", 39, state="lost", reason="the node that ran it was lost")


def _all_skipped_in_calm(story: Story) -> None:
    for second in range(1, COUNT + 1):
        story.skipped("own", second, "etcd could not be reached")


def _shared_skipped_in_calm(story: Story) -> None:
    story.skipped("shared", 39, "etcd could not be reached")


def _skipped_for_nothing(story: Story) -> None:
    for second in range(15, COUNT + 1):
        story.skipped("shared", second, OVERLAP)


def _own_goes_on(story: Story) -> None:
    story.goes_on(story.own, 50, 60)


def _shared_goes_on(story: Story) -> None:
    story.goes_on(story.shared, 50, 60)


def _rows_go_on(story: Story) -> None:
    story.goes_on(story.own, 50, 60)
    for second in range(50, 61):
        del story.begun["own", COUNT + second, 1]


def _ran_twice_after_its_end(story: Story) -> None:
    story.goes_on(story.shared, 1, 3)
    story.more.append(story.begun["shared", COUNT + 2, 1])


def _of_nobody(story: Story) -> None:
    story.more.append(replace_pipeline(story.begun["own", 30, 1], "unknown"))


def _another_reason(story: Story) -> None:
    story.missed("own", 4, reason="it was Monday")
    story.reasons = ("the worker died", "the worker was not .*")


def replace_pipeline(job: Begun, pipeline: str) -> Begun:
    return Begun(pipeline, job.instant, "other", 1, job.node, 0, job.began, job.ended)


@pytest.mark.parametrize(
    ("spoil", "kind", "said"),
    [
        (_no_row, "lost", "has 0 entries"),
        (_no_row_for_a_job, "extra", "ran and has no row"),
        (_two_rows, "doubled", "two rows"),
        (_never_ended, "unexplained", "never ended"),
        (_no_reason, "unexplained", "nobody says why"),
        (_ran_twice, "doubled", "ran twice"),
        (_ran_twice_elsewhere, "protocol", "ran 2 times"),
        (_ran_although_missed, "unexplained", "the ledger says missed"),
        (_clash, "doubled", "while another was going"),
        (_at_once, "protocol", "though overlap is skip"),
        (_not_run_by_whom_the_ledger_says, "unexplained", "on b"),
        (_succeeded_without_a_job, "extra", "without having run"),
        (_succeeded_without_an_end, "extra", "without having run"),
        (_gap_too_wide, "unexplained", "more or less than it is"),
        (_gap_too_narrow, "lost", "has 0 entries"),
        (_missed_while_well, "lost", "although ['a'] were well"),
        (_missed_while_some_were_well, "lost", "although ['a', 'b'] were well"),
        (_lost_for_good, "lost", "not run again"),
        (_an_attempt_is_missing, "lost", "the attempts [1, 3]"),
        (_abandoned_and_run_again, "doubled", "was to be abandoned"),
        (_fence_falls, "protocol", "does not follow"),
        (_early, "protocol", "too early"),
        (_left_open, "protocol", "counts as running"),
        (_late, "late", "6.0 s late"),
        (_own_early, "early", "0.5 s early"),
        (_the_ledger_says_another_start, "unexplained", "the ledger says 2030"),
        (_never_expected, "extra", "ran and was never expected"),
        (_a_row_never_expected, "extra", "has a row (missed) and was never expected"),
        (_after_its_end, "extra", "was never expected"),
        (_all_lost_in_calm, "unexplained", "00:00:40+00:00 attempt 1 is lost in calm"),
        (_killed_in_the_trouble_of_others, "unexplained", "is killed in calm"),
        (_lost_after_its_end, "unexplained", "is lost in calm"),
        (_shared_lost_in_calm, "unexplained", "is lost in calm"),
        (_all_skipped_in_calm, "unexplained", "00:00:40+00:00 attempt 1 is skipped in calm"),
        (_shared_skipped_in_calm, "unexplained", "is skipped in calm"),
        (_skipped_for_nothing, "unexplained", "00:00:40+00:00 attempt 1 is skipped for the previous run, and none"),
        (_own_goes_on, "extra", "ran and was never expected"),
        (_shared_goes_on, "extra", "ran and was never expected"),
        (_rows_go_on, "extra", "has a row (succeeded) and was never expected"),
        (_ran_twice_after_its_end, "doubled", "ran twice"),
        (_of_nobody, "extra", "which is not of this scenario"),
        (_another_reason, "unexplained", "this fault is no reason: it was Monday"),
    ],
)
def test_it_notices(spoil: Callable[[Story], None], kind: Kind, said: str) -> None:
    story = Story()
    spoil(story)
    found = [violation.text for violation in story.found() if violation.kind == kind]
    assert any(said in text for text in found), story.found()


@pytest.mark.parametrize("kind", KINDS)
def test_a_broken_promise_of_any_kind_fails_the_scenario(kind: Kind) -> None:
    good = Result("one", "seed", 3, "now", 1, 1, 1, 1, 1, 0, {}, {})
    bad = dataclasses.replace(good, violations=[Violation(kind, "something")])
    assert (good.line()["verdict"], bad.line()["verdict"]) == ("passed", "failed")
    assert bad.line()["violations"] == dict.fromkeys(KINDS, 0) | {kind: 1}
    assert bad.row()["lost, doubled, late, extra, unexplained, left"] == {kind: 1}
