"""Rules 1 to 5 of the claim protocol, one by one: each test fails without its rule."""

from typing import Any

import pytest

from coordination import fires, upkeep
from coordination.fires import SESSION_TTL, Epoch, FireRecord
from coordination.gateway import Compare
from coordination.identity import SHARED, fire_run_id
from tests.claims.cluster import KEYS, NAMES, PIPELINE, START, Cluster, Worker, document, instants, notes
from tests.simulation.world import wall
from workers.engine.claims_actions import Reattached, Start
from workers.engine.placement import Member
from workers.engine.plan import OVERLAP, Kill
from workers.engine.standing import FENCE_MARGIN

FIRST = Epoch(id=1, created=wall(0), first=True)


class TestRule1:
    """One compare-and-set on the whole record, with session and epoch; nothing runs before it is answered."""

    def test_a_claim_compares_record_session_and_epoch(self, cluster: Cluster, worker: Worker) -> None:
        cluster.time = 110.0
        worker.poll()
        compares = worker.sent[0].transaction.compares
        item = cluster.store.get(KEYS.fires(PIPELINE))
        epoch = cluster.store.get(KEYS.epoch())
        assert item is not None
        assert epoch is not None
        assert set(compares) == {
            Compare.unchanged(KEYS.fires(PIPELINE), item.mod_revision),
            Compare.exists(KEYS.session(worker.name, worker.session)),
            Compare.holds(KEYS.epoch(), epoch.value),
        }

    def test_the_first_record_is_written_only_where_there_is_none(self, cluster: Cluster) -> None:
        first, second = cluster.workers[:2]
        for worker in (first, second):
            worker.poll()
            worker.answer()
            worker.poll()
        assert first.answer().succeeded
        assert not second.answer().succeeded

    def test_nothing_starts_before_the_answer(self, cluster: Cluster, worker: Worker) -> None:
        cluster.time = 110.0
        worker.poll()
        outcome = worker.commit()
        assert worker.poll() == []
        worker.plan.answered(outcome, worker.now())
        worker.poll()
        (start,) = worker.starts
        assert start.run == fire_run_id(PIPELINE, wall(110), SHARED, 1)
        assert start.fence == outcome.revision

    def test_whoever_claims_is_told_whether_it_was_granted(self, cluster: Cluster, worker: Worker) -> None:
        second = cluster.workers[1]
        second.settle()
        cluster.time = 112.0
        worker.poll()
        second.poll()
        granted, refused = worker.commit(), second.commit()
        assert worker.plan.answered(granted, worker.now()) is True
        assert second.plan.answered(refused, second.now()) is False
        worker.poll()
        (start,) = worker.starts
        worker.plan.ended(start.run, "succeeded", "")
        worker.poll()
        assert worker.plan.answered(worker.commit(), worker.now()) is None, "an ending is no claim"

    def test_a_claim_whose_answer_was_lost_counts_as_granted(self, cluster: Cluster, worker: Worker) -> None:
        cluster.time = 110.0
        worker.poll()
        worker.commit()
        worker.plan.unanswered(worker.now())
        cluster.time = 111.0
        worker.poll()
        refused = worker.commit()
        assert not refused.succeeded
        assert worker.plan.answered(refused, worker.now()) is True

    def test_of_two_claims_one_is_refused_and_sees_the_other(self, cluster: Cluster, worker: Worker) -> None:
        second = cluster.workers[1]
        second.settle()
        cluster.time = 112.0
        worker.poll()
        second.poll()
        assert worker.answer().succeeded
        assert not second.answer().succeeded
        second.settle()
        worker.settle()
        assert (len(worker.starts), len(second.starts)) == (1, 0)

    def test_a_refusal_that_a_watch_had_announced_costs_no_time(self, cluster: Cluster, worker: Worker) -> None:
        cluster.time = 110.0
        worker.poll()
        cluster.set(generation=1)
        worker.plan.record_seen(cluster.store.get(KEYS.fires(PIPELINE)), worker.now())
        assert not worker.answer().succeeded
        worker.settle()
        assert len(worker.starts) == 1

    def test_a_claim_without_its_session_is_refused(self, cluster: Cluster, worker: Worker) -> None:
        cluster.time = 110.0
        worker.poll()
        cluster.store.revoke(worker.lease)
        assert not worker.answer().succeeded
        worker.poll()
        assert worker.starts == []
        assert worker.sent == []

    def test_a_claim_from_another_epoch_is_refused(self, cluster: Cluster, worker: Worker) -> None:
        cluster.time = 110.0
        worker.poll()
        cluster.begin_epoch(109.0)
        assert not worker.answer().succeeded
        worker.poll()
        assert worker.starts == []


class TestRule2:
    """What the mark passes is open; deciding against running is a transition; recent is kept."""

    def test_what_another_node_has_to_run_stays_open(self) -> None:
        cluster = Cluster(document(placement="one_spread", schedule="1 0", overlap="allow"))
        first = cluster.workers[0]
        first.settle()
        first.at(104.0)
        record = cluster.record
        assert first.starts
        assert record.open
        handled = instants(record.open) + instants(tuple(run.instant for run in record.runs))
        assert set(handled) == {float(second) for second in range(101, int(instants((record.mark,))[0]) + 1)}

    def test_a_long_queue_is_capped_in_the_same_step(self) -> None:
        mark = wall(START)
        record = fires.advance(fires.begin(1, mark), wall(3000), [wall(second) for second in range(101, 1601)])
        capped = fires.bound(record, "a", cap=1000)
        assert len(capped.open) == 1000
        (gap,) = capped.recent
        assert (gap.count, gap.instant, gap.until) == (500, wall(101), wall(600))

    def test_a_decision_stays_until_it_is_ingested_and_is_told_again_after_a_crash(
        self, cluster: Cluster, worker: Worker
    ) -> None:
        worker.at(110.0)
        worker.at(120.0)
        assert notes(worker) == [(120.0, "skipped", OVERLAP)]
        reborn = Worker(cluster, worker.name)
        reborn.settle()
        assert notes(reborn) == [(120.0, "skipped", OVERLAP)]
        reborn.plan.ingested([(wall(120), 1)])
        reborn.at(140.0)
        assert wall(120) not in {entry.instant for entry in cluster.record.recent}

    def test_trimming_waits_until_a_mark_set_back_could_not_open_it_again(self) -> None:
        record = fires.decide(
            fires.advance(fires.begin(1, wall(0)), wall(10), [wall(10)]),
            [fires.Decision(instant=wall(10), state="missed")],
        )
        done = {(wall(10), 1)}
        assert fires.trim(record, done, wall(15)).recent
        assert not fires.trim(record, done, wall(21)).recent


class TestRule3:
    """An ambiguous transaction is repeated, the same, until it is answered."""

    def test_the_same_transaction_again(self, cluster: Cluster, worker: Worker) -> None:
        cluster.time = 110.0
        worker.poll()
        first = worker.sent.pop()
        for _ in range(3):
            worker.plan.unanswered(worker.now())
            assert worker.wake
            cluster.time += 1.0
            worker.poll()
            assert worker.sent.pop() == first

    def test_it_had_been_carried_out_and_the_repeat_finds_the_nonce(self, cluster: Cluster, worker: Worker) -> None:
        cluster.time = 110.0
        worker.poll()
        transaction = worker.sent[0]
        revision = worker.commit().revision
        worker.plan.unanswered(worker.now())
        cluster.time = 111.0
        worker.poll()
        assert worker.sent == [transaction]
        assert not worker.answer().succeeded
        worker.settle()
        (start,) = worker.starts
        assert start.fence == revision

    def test_the_late_original_cannot_come_after_the_repeat(self, cluster: Cluster, worker: Worker) -> None:
        cluster.time = 110.0
        worker.poll()
        original = worker.sent.pop().transaction
        worker.plan.unanswered(worker.now())
        cluster.time = 111.0
        worker.settle()
        assert len(worker.starts) == 1
        assert not cluster.store.transact(original.compares, original.then).succeeded


class TestRule4:
    """Orphaned means that the session's key is absent, and only the transaction knows."""

    @pytest.fixture
    def orphan(self) -> Cluster:
        cluster = Cluster(document(on_node_loss="rerun"))
        cluster.workers[0].settle()
        cluster.workers[0].at(110.0)
        return cluster

    def test_a_living_session_is_not_taken_over_though_presence_is_gone(self, orphan: Cluster) -> None:
        second = orphan.workers[1]
        second.standing.members = {name: Member() for name in NAMES if name != orphan.workers[0].name}
        second.at(111.0)
        second.at(120.0)
        assert [start.attempt for start in second.starts] == []
        assert orphan.record.runs[0].node == orphan.workers[0].name

    @pytest.mark.parametrize(("policy", "attempts"), [("rerun", [2]), ("abandon", [])])
    def test_an_orphan_is_rerun_or_abandoned(self, policy: str, attempts: list[int]) -> None:
        cluster = Cluster(document(on_node_loss=policy))
        first, second = cluster.workers[:2]
        first.settle()
        first.at(110.0)
        second.settle()
        cluster.store.revoke(first.lease)
        cluster.workers.remove(first)
        second.standing.members = {name: Member() for name in NAMES if name != first.name}
        second.at(116.0)
        assert [start.attempt for start in second.starts if start.scheduled_at == wall(110)] == attempts
        lost = [entry for entry in cluster.record.recent if entry.state == "lost"]
        assert [(entry.instant, entry.attempt, entry.node) for entry in lost] == [(wall(110), 1, first.name)]

    def test_a_try_on_an_outdated_record_is_repeated_at_once(self, orphan: Cluster) -> None:
        """Where others fire more often than tries are made, each try would find that the record has moved on."""
        first, second = orphan.workers[:2]
        second.settle()
        orphan.store.revoke(first.lease)
        orphan.workers.remove(first)
        second.standing.members = {name: Member() for name in NAMES if name != first.name}
        orphan.time = 116.0
        second.poll()
        assert second.sent, "it tries"
        orphan.set(generation=1)
        second.settle()
        assert [start.attempt for start in second.starts if start.scheduled_at == wall(110)] == [2]

    def test_a_fire_is_not_skipped_for_an_orphan(self) -> None:
        cluster = Cluster(document(on_node_loss="abandon"))
        first, second = cluster.workers[:2]
        first.settle()
        first.at(110.0)
        second.settle()
        cluster.store.revoke(first.lease)
        cluster.workers.remove(first)
        second.at(122.0)
        cluster.time = 124.0
        second.settle()
        assert [start.scheduled_at for start in second.starts] == [wall(120)]
        assert notes(second) == []

    def test_many_orphans_do_not_hold_up_the_fires(self) -> None:
        cluster = Cluster(document(overlap="allow", schedule="1 0"))
        first, second = cluster.workers[:2]
        first.settle()
        for time in range(101, 111):
            first.at(time)
        second.standing.members = {name: Member() for name in NAMES if name != first.name}
        second.settle()
        second.at(111.0)
        assert wall(111) in {start.scheduled_at for start in second.starts}

    def test_the_master_closes_what_no_bound_node_can(self, orphan: Cluster) -> None:
        def tend(alive: bool, sessions: list[tuple[str, str]], epoch: Epoch = FIRST) -> FireRecord:
            return upkeep.tended(
                orphan.record,
                epoch=epoch,
                generation=1,
                sessions=sessions,
                bound_alive=alive,
                stored=set(),
                now=wall(120),
            )

        run = orphan.record.runs[0]
        assert tend(False, [(run.node, run.session)]).runs
        assert tend(True, []).runs
        assert tend(False, [], Epoch(id=1, created=wall(100))).runs, "its right to run may last in a young epoch"
        closed = tend(False, [])
        assert closed.runs == ()
        assert closed.recent[-1].state == "lost"


class TestRule5:
    """The right to run ends before the session can."""

    def test_the_deadline_counts_from_the_sending(self, cluster: Cluster, worker: Worker) -> None:
        worker.standing.kept_alive(worker.session, 105.0, SESSION_TTL)
        cluster.time = 110.0
        worker.settle()
        (start,) = worker.starts
        assert start.deadline == 105.0 + SESSION_TTL - FENCE_MARGIN
        assert start.session == worker.session

    def test_a_late_answer_to_an_earlier_keep_alive_does_not_shorten_it(self, worker: Worker) -> None:
        worker.standing.kept_alive(worker.session, 105.0, SESSION_TTL)
        worker.standing.kept_alive(worker.session, 101.0, SESSION_TTL)
        assert worker.standing.right is not None
        assert worker.standing.right.deadline == 105.0 + SESSION_TTL - FENCE_MARGIN

    def test_a_claim_answered_after_the_deadline_does_not_start(self, cluster: Cluster, worker: Worker) -> None:
        cluster.time = 110.0
        worker.poll()
        outcome = worker.commit()
        cluster.time = START + SESSION_TTL - FENCE_MARGIN
        worker.plan.answered(outcome, worker.now())
        worker.poll()
        assert worker.starts == []

    def test_and_starts_under_the_next_session_if_nobody_took_it(self, cluster: Cluster, worker: Worker) -> None:
        self.test_a_claim_answered_after_the_deadline_does_not_start(cluster, worker)
        worker.renew_session()
        worker.settle()
        assert [(start.scheduled_at, start.session) for start in worker.starts] == [(wall(110), worker.session)]

    def test_a_living_run_is_reattached_to_the_new_session(self, cluster: Cluster, worker: Worker) -> None:
        worker.at(110.0)
        cluster.store.revoke(worker.lease)
        worker.standing.session_lost(worker.session)
        worker.renew_session()
        actions = worker.settle()
        assert [action.session for action in actions if isinstance(action, Reattached)] == [worker.session]
        assert cluster.record.runs[0].session == worker.session

    def test_its_right_is_then_that_of_the_new_session(self, cluster: Cluster, worker: Worker) -> None:
        worker.at(110.0)
        for cluster.time in (130.0, 140.0):
            cluster.store.revoke(worker.lease)
            worker.standing.session_lost(worker.session)
            worker.renew_session()
            worker.settle()
            assert cluster.record.runs[0].session == worker.session

    def test_a_run_whose_right_is_over_is_not(self, cluster: Cluster, worker: Worker) -> None:
        """The machine stood still: it was taken over, and etcd was emptied, before its guard could kill it."""
        worker.at(110.0)
        cluster.time = 110.0 + SESSION_TTL
        worker.standing.session_lost(worker.session)
        cluster.wipe(cluster.time)
        actions = worker.settle()
        assert cluster.record.inherited
        assert not [action for action in actions if isinstance(action, Reattached)]
        assert cluster.record.runs[0].session != worker.session

    def test_nor_does_a_claim_of_before_the_wipe_begin_then(self, cluster: Cluster, worker: Worker) -> None:
        self.test_a_claim_answered_after_the_deadline_does_not_start(cluster, worker)
        worker.standing.session_lost(worker.session)
        cluster.wipe(cluster.time)
        worker.settle()
        worker.at(cluster.time + 40.0)
        assert [start.attempt for start in worker.starts if start.scheduled_at == wall(110)] in ([], [11])

    def test_a_run_that_was_taken_over_is_killed(self, cluster: Cluster, worker: Worker) -> None:
        worker.at(110.0)
        taken = fires.take_over(cluster.record, cluster.record.runs[0].nonce, None, "")
        cluster.set(runs=taken.runs, recent=taken.recent)
        worker.at(120.0)
        assert [action.run for action in worker.actions if isinstance(action, Kill)] == [worker.starts[0].run]

    def test_a_standby_that_starts_late_has_the_higher_fence(self, cluster: Cluster, worker: Worker) -> None:
        for time in (110.0, 120.0):
            worker.at(time)
            worker.plan.ended(worker.starts[-1].run, "succeeded", "")
        assert worker.starts[1].fence > worker.starts[0].fence


def test_the_wake_is_at_the_next_instant_and_then_at_the_next_turn(cluster: Cluster, worker: Worker) -> None:
    """Not at this node's turn alone: when they spread, its turn for the instant after may come before it."""
    assert worker.wake.wall == wall(110)
    second = cluster.workers[1]
    second.settle()
    assert second.wake.wall == wall(110)
    cluster.time = 110.0
    second.settle()
    assert second.wake.wall == wall(112)


def test_the_wake_is_when_a_document_begins_to_hold() -> None:
    cluster = Cluster(document(not_before=wall(START + 7)))
    [worker, *_] = cluster.workers
    worker.settle()
    assert worker.wake.wall == wall(START + 7)


@pytest.mark.parametrize("policy", ["rerun", "abandon"])
def test_a_run_that_outlived_its_right_is_an_orphan(policy: Any) -> None:
    """What was killed at its deadline is rerun or closed as that of a dead node is, by this node as by any other."""
    cluster = Cluster(document(on_node_loss=policy))
    [worker, *_] = cluster.workers
    worker.settle()
    worker.at(110.0)
    [start] = worker.starts
    worker.plan.outlived(start.run)
    cluster.store.revoke(worker.lease)
    worker.standing.session_lost(worker.session)
    worker.renew_session()
    worker.settle()
    assert [entry.state for entry in cluster.record.recent] == ["lost"]
    assert [again.attempt for again in worker.starts[1:]] == ([2] if policy == "rerun" else [])


def test_a_start_is_given_once(cluster: Cluster, worker: Worker) -> None:
    worker.at(110.0)
    worker.plan.record_seen(cluster.store.get(KEYS.fires(PIPELINE)), worker.now())
    cluster.set(generation=1)
    worker.plan.record_seen(cluster.store.get(KEYS.fires(PIPELINE)), worker.now())
    worker.settle()
    assert len([action for action in worker.actions if isinstance(action, Start)]) == 1
