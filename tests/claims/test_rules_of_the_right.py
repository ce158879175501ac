"""Rules 4 and 5 of the claim protocol: who is an orphan, and how long the right to run lasts. Each test fails without
its rule."""

from typing import Any

import pytest

from coordination import fires, upkeep
from coordination.fires import SESSION_TTL, Epoch, FireRecord
from tests.claims.cluster import KEYS, NAMES, PIPELINE, START, Cluster, Worker, document, notes
from tests.simulation.world import wall
from workers.engine.claims_actions import Reattached, Start
from workers.engine.placement import Member
from workers.engine.plan import Kill
from workers.engine.standing import FENCE_MARGIN

FIRST = Epoch(id=1, created=wall(0), first=True)


def _lose_the_holder(cluster: Cluster) -> tuple[Worker, Worker]:
    """The worker that held the fires, whose session is gone, and the next."""
    first, second = cluster.workers[:2]
    first.settle()
    first.at(110.0)
    second.settle()
    cluster.store.revoke(first.lease)
    cluster.workers.remove(first)
    return first, second


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
        first, second = _lose_the_holder(cluster)
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
        _first, second = _lose_the_holder(cluster)
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
