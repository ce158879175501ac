"""The record's transitions, pure."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from coordination import fires, upkeep
from coordination.fires import Claim, Decision, FireRecord, Illegal, Seen
from coordination.gateway import KeyValue
from coordination.keys import Keys
from tests.simulation.world import wall

RECORD = fires.begin(1, wall(0))
TEN = [wall(second) for second in range(1, 11)]


def entry(second: float, nonce: str = "x", attempt: int = 1) -> Claim:
    return Claim(instant=wall(second), attempt=attempt, node="n", session="s", nonce=nonce, epoch=RECORD.epoch)


def test_the_record_survives_its_encoding() -> None:
    record = fires.claim(fires.advance(RECORD, wall(10), TEN), entry(3))
    assert fires.decode(fires.encode(record)) == record


def test_an_instant_is_claimed_once() -> None:
    record = fires.claim(fires.advance(RECORD, wall(10), TEN), entry(3))
    with pytest.raises(Illegal):
        fires.claim(record, entry(3, "y"))
    with pytest.raises(Illegal):
        fires.claim(record, entry(11))


def test_the_mark_does_not_go_back() -> None:
    with pytest.raises(Illegal):
        fires.advance(RECORD, wall(-1), [])


def test_a_gap_must_count_what_is_open() -> None:
    record = fires.advance(RECORD, wall(10), TEN)
    gap = Decision(instant=wall(1), until=wall(10), count=9, state="missed")
    with pytest.raises(Illegal):
        fires.decide(record, [gap])


def test_a_successor_is_the_next_attempt() -> None:
    record = fires.claim(fires.advance(RECORD, wall(10), TEN), entry(3))
    with pytest.raises(Illegal):
        fires.take_over(record, "x", entry(3, "y", attempt=3), "")
    taken = fires.take_over(record, "x", entry(3, "y", attempt=2), "gone")
    assert [(run.nonce, run.attempt) for run in taken.runs] == [("y", 2)]
    with pytest.raises(Illegal):
        fires.finish(taken, "x", "succeeded")


@pytest.mark.parametrize(("attempt", "following"), [(1, 11), (2, 11), (11, 21), (19, 21)])
def test_over_an_epoch_the_attempts_go_on_at_the_next_ten(attempt: int, following: int) -> None:
    """What etcd has lost may hold a second attempt: no two executions have one name."""
    record = fires.inherit(fires.claim(fires.advance(RECORD, wall(10), TEN), entry(3, attempt=attempt)), 2)
    with pytest.raises(Illegal):
        fires.take_over(record, "x", entry(3, "y", attempt=attempt + 1), "")
    assert fires.take_over(record, "x", entry(3, "y", attempt=following), "").runs


def test_what_a_repaired_mark_passes_again_is_not_opened_again() -> None:
    record = fires.claim(fires.advance(RECORD, wall(10), TEN), entry(8))
    record = fires.decide(record, [Decision(instant=wall(9), until=wall(10), count=2, state="missed")])
    again = fires.advance(fires.repair_mark(record, wall(5)), wall(10), TEN)
    assert again.open == tuple(wall(second) for second in (1, 2, 3, 4, 5, 6, 7))


def test_beyond_its_cap_recent_loses_endings_first() -> None:
    record = FireRecord(epoch=1, mark=wall(0))
    seconds = range(1, fires.RECENT_CAP + 1)
    record = fires.advance(record, wall(1000), [wall(second) for second in (*seconds, 999)])
    record = fires.finish(fires.claim(record, entry(999)), "x", "succeeded")
    record = fires.decide(record, [Decision(instant=wall(second), state="missed") for second in seconds])
    assert len(record.recent) == fires.RECENT_CAP
    assert {decision.state for decision in record.recent} == {"missed"}


def test_every_write_has_a_version_above_all_before() -> None:
    old = fires.next_version(Seen(None, 0), RECORD)
    assert old.version == 1
    assert fires.next_version(Seen(old, 7), RECORD).version == 2
    inherited = fires.inherit(FireRecord(epoch=1, version=40, mark=wall(0)), 2)
    assert fires.next_version(Seen(old, 7), inherited).version == 41


def test_a_write_reads_what_it_needs_to_know_when_it_is_refused() -> None:
    keys = Keys()
    epoch = fires.Epoch(id=1, created=wall(0))
    transaction = fires.write(keys, "p", Seen(None, 0), RECORD, epoch, reads=("/other",))
    assert [operation.key for operation in transaction.otherwise] == [keys.fires("p"), keys.epoch(), "/other"]


def test_the_console_writes_what_belongs_to_nobody_or_is_overdue() -> None:
    decisions = (
        Decision(instant=wall(1), state="missed", node="n"),
        Decision(instant=wall(2), state="missed"),
        Decision(instant=wall(3), state="lost", node="n"),
        Decision(instant=wall(90), state="missed", node="n"),
    )
    record = FireRecord(epoch=1, mark=wall(90), recent=decisions)
    overdue = upkeep.unwritten(record, wall(100), wall(60) - wall(0))
    assert [decision.instant for decision in overdue] == [wall(1), wall(2), wall(3)]


@given(st.lists(st.tuples(st.integers(1, 40), st.sampled_from(["claim", "miss", "skip to", "finish", "lose"]))))
def test_every_instant_is_in_exactly_one_place(moves: list[tuple[int, str]]) -> None:
    """Passed by the mark: open, or running, or decided; whatever is done in whatever order."""
    record, expected = RECORD, [wall(second) for second in range(1, 41)]
    for number, (second, move) in enumerate(moves):
        if record.mark < wall(second):
            record = fires.advance(record, wall(second), expected)
        is_open = wall(second) in record.open
        run = next((entry.nonce for entry in record.runs), None)
        if move == "claim" and is_open:
            record = fires.claim(record, entry(second, str(number)))
        elif move == "miss" and is_open:
            record = fires.decide(record, [Decision(instant=wall(second), state="missed")])
        elif move == "finish" and run is not None:
            record = fires.finish(record, run, "succeeded")
        elif move == "lose" and run is not None:
            record = fires.take_over(record, run, None, "")
    places = [*record.open, *(run.instant for run in record.runs), *(decision.instant for decision in record.recent)]
    assert sorted(places) == [instant for instant in expected if instant <= record.mark]


def test_unreadable_bytes_are_void() -> None:
    item = KeyValue("/fires/p", b"{", create_revision=3, mod_revision=7, version=2)
    assert fires.seen(item) == Seen(None, 7)
