"""Rules 6 to 9: epochs, clocks, generations, restarts. Each test fails without its rule."""

import pytest

from coordination import fires, upkeep
from coordination.fires import Claim, Epoch
from tests.claims.cluster import KEYS, PIPELINE, START, Cluster, Worker, document, instants, notes
from tests.simulation.world import wall
from workers.engine.claims_actions import Incident, Remember
from workers.engine.claims_change import CHANGED
from workers.engine.claims_scene import LOST_DATA
from workers.engine.standing import SKEW_LIMIT

FIRST = Epoch(id=1, created=wall(0), first=True)


class TestRule6:
    """Epochs."""

    def test_a_new_installation_claims_at_once_and_any_other_waits(self) -> None:
        for first, claimed in ((True, 1), (False, 0)):
            cluster = Cluster()
            cluster.begin_epoch(START, first=first)
            worker = cluster.workers[0]
            worker.settle()
            worker.at(110.0)
            assert len(worker.starts) == claimed

    def test_instants_from_before_the_epoch_are_never_claimed(self, cluster: Cluster, worker: Worker) -> None:
        worker.at(110.0)
        worker.plan.ended(worker.starts[0].run, "succeeded", "")
        worker.settle()
        cluster.wipe(129.5)
        worker.at(130.0)
        worker.at(131.5)
        worker.at(150.0)
        worker.at(162.0)
        assert [instants((start.scheduled_at,))[0] for start in worker.starts][1:] == [150.0]
        lost = [entry for entry in cluster.record.recent if entry.reason == LOST_DATA]
        assert [(instants((entry.instant,))[0], entry.node) for entry in lost] == [(120.0, ""), (130.0, "")]

    def test_the_better_memory_wins_until_the_record_moves_on(self, cluster: Cluster, worker: Worker) -> None:
        second = cluster.workers[1]
        second.settle()
        worker.at(110.0)
        cluster.wipe(111.0)
        second.settle()
        worker.settle()
        assert instants((cluster.record.mark,)) == [110.0]
        assert cluster.record.inherited

    def test_a_better_memory_keeps_what_was_reattached_meanwhile(self, cluster: Cluster, worker: Worker) -> None:
        second = cluster.workers[1]
        worker.at(110.0)
        second.at(122.0)
        cluster.wipe(123.0)
        worker.settle()
        assert cluster.record.runs[0].session == worker.session
        assert instants((cluster.record.mark,)) == [110.0]
        second.settle()
        assert instants((cluster.record.mark,)) == [120.0]
        assert cluster.record.runs[0].session == worker.session

    def test_a_run_that_ended_while_etcd_was_lost_is_not_run_again(self) -> None:
        cluster = Cluster(document(on_node_loss="rerun"))
        worker, second, _ = cluster.workers
        worker.settle()
        worker.at(110.0)
        second.settle()
        cluster.wipe(111.0)
        worker.plan.ended(worker.starts[0].run, "succeeded", "")
        second.settle()
        worker.settle()
        second.at(144.0)
        worker.at(144.0)
        assert [start.scheduled_at for start in second.starts] == []
        assert [(entry.attempt, entry.state) for entry in cluster.record.recent if entry.instant == wall(110)] == [
            (1, "succeeded")
        ]

    def test_of_two_equal_memories_the_one_that_was_carried_over_counts(self, cluster: Cluster, worker: Worker) -> None:
        """It knows where the runs have gone since."""
        second = cluster.workers[1]
        worker.at(110.0)
        second.at(112.0)
        cluster.wipe(113.0)
        worker.settle()
        cluster.begin_epoch(115.0)
        second.settle()
        assert cluster.record.epoch == 115_001
        assert [(run.node, run.session) for run in cluster.record.runs] == [(worker.name, worker.session)]

    def test_a_record_that_went_back_stops_everything_and_is_reported(self, cluster: Cluster, worker: Worker) -> None:
        old = cluster.record
        worker.at(110.0)
        worker.plan.ended(worker.starts[0].run, "succeeded", "")
        worker.settle()
        cluster.put(old)
        worker.at(120.0)
        worker.at(130.0)
        assert len(worker.starts) == 1
        assert any(isinstance(action, Incident) for action in worker.actions)
        cluster.begin_epoch(131.0)
        worker.at(164.0)
        assert [start.scheduled_at for start in worker.starts] == [wall(110), wall(150)]

    def test_what_is_remembered_over_a_restart_shows_a_record_that_went_back(
        self, cluster: Cluster, worker: Worker
    ) -> None:
        old = cluster.record
        worker.at(110.0)
        known = [action.record for action in worker.actions if isinstance(action, Remember)][-1]
        cluster.put(old)
        reborn = Worker(cluster, worker.name, known=known)
        cluster.workers[0] = reborn
        reborn.at(120.0)
        assert reborn.starts == []
        assert any(isinstance(action, Incident) for action in reborn.actions)

    def test_a_bad_clock_does_not_end_the_settling(self, cluster: Cluster, worker: Worker) -> None:
        worker.at(110.0)
        cluster.wipe(111.0)
        worker.skew = 60.0
        worker.plan.ended(worker.starts[0].run, "succeeded", "")
        worker.settle()
        worker.at(113.0)
        assert cluster.record.inherited


class TestRule7:
    """Clocks."""

    @pytest.mark.parametrize("skew", [SKEW_LIMIT + 0.5, -SKEW_LIMIT - 0.5, 60.0, -60.0])
    def test_a_clock_that_is_off_claims_nothing(self, worker: Worker, skew: float) -> None:
        worker.skew = skew
        worker.standing.measured(skew, worker.now())
        worker.at(120.0)
        assert worker.starts == []
        assert "clock" in worker.standing.hindrance(worker.now())

    def test_a_clock_that_is_set_is_off_before_it_is_measured(self, worker: Worker) -> None:
        worker.skew = 60.0
        worker.settle()
        assert worker.starts == []

    def test_an_unmeasured_clock_is_trusted_only_after_a_while(self, cluster: Cluster) -> None:
        worker = cluster.workers[0] = Worker(cluster, cluster.workers[0].name, measured=False)
        worker.settle()
        worker.at(110.0)
        assert worker.starts == []
        worker.at(131.0)
        worker.at(140.0)
        assert worker.starts

    def test_a_mark_from_the_future_is_repaired_and_nothing_decided_runs_again(
        self, cluster: Cluster, worker: Worker
    ) -> None:
        record = fires.advance(cluster.record, wall(160), [wall(second) for second in range(110, 161, 10)])
        record = fires.claim(record, Claim(instant=wall(130), attempt=1, node="x", session="y", nonce="z"))
        record = fires.finish(record, "z", "succeeded")
        cluster.set(mark=record.mark, open=record.open, recent=record.recent)
        for time in (110, 120, 130, 140):
            worker.at(float(time))
            for start in worker.starts:
                worker.plan.ended(start.run, "succeeded", "")
            worker.settle()
        assert [instants((start.scheduled_at,))[0] for start in worker.starts] == [110.0, 120.0, 140.0]

    def test_the_master_repairs_it_too(self, cluster: Cluster, worker: Worker) -> None:
        cluster.set(mark=wall(200))
        mended = upkeep.tended(
            cluster.record, epoch=FIRST, generation=1, sessions=[], bound_alive=True, stored=set(), now=wall(110)
        )
        assert mended.mark == wall(110)


class TestRule8:
    """Generations, changes of placement."""

    def test_an_outdated_document_claims_nothing(self, cluster: Cluster, worker: Worker) -> None:
        cluster.set(generation=2)
        worker.at(110.0)
        worker.at(120.0)
        assert worker.starts == []

    def test_an_edit_closes_what_was_pending_and_replays_nothing(self, cluster: Cluster, worker: Worker) -> None:
        cluster.time = 111.0
        worker.plan.document_changed(document(generation=2, not_before=wall(111), schedule="10 5"))
        worker.settle()
        assert notes(worker) == [(110.0, "missed", CHANGED)]
        worker.at(115.0)
        assert [start.scheduled_at for start in worker.starts] == [wall(115)]

    def test_a_node_that_never_saw_the_old_document_closes_it_too(self, cluster: Cluster, worker: Worker) -> None:
        cluster.plan = document(generation=2, not_before=wall(111), schedule="10 5")
        fresh = Worker(cluster, cluster.workers[1].name)
        cluster.time = 112.0
        fresh.settle()
        assert notes(fresh) == [(110.0, "missed", CHANGED)]

    def test_a_change_that_comes_late_opens_what_only_the_new_timing_expects(
        self, cluster: Cluster, worker: Worker
    ) -> None:
        worker.at(110.0)
        worker.plan.ended(worker.starts[0].run, "succeeded", "")
        worker.plan.document_changed(document(generation=2, not_before=wall(104), schedule="5 0"))
        worker.settle()
        assert [instants((start.scheduled_at,))[0] for start in worker.starts] == [110.0, 105.0]

    def test_until_a_change_of_placement_takes_effect_the_old_document_holds(
        self, cluster: Cluster, worker: Worker
    ) -> None:
        worker.plan.removed(2, wall(130), "every node fires it by itself now")
        cluster.set(generation=2)
        for time in (110.0, 120.0, 130.0, 140.0):
            worker.at(time)
            for start in worker.starts:
                worker.plan.ended(start.run, "succeeded", "")
            worker.settle()
        ran = {instants((start.scheduled_at,))[0] for start in worker.starts}
        told = {second for second, _, _ in notes(worker)}
        assert ran | told == {110.0, 120.0, 130.0}
        assert worker.plan.done
        assert cluster.record.timing is None

    def test_an_edit_of_something_else_closes_nothing(self, cluster: Cluster, worker: Worker) -> None:
        """Then ``not_before`` is of long ago, and what is open is still expected."""
        cluster.time = 90_131.0
        for each in cluster.workers:
            each.renew_session()
        cluster.set(mark=wall(90_130), open=(wall(90_120), wall(90_130)))
        worker.plan.record_seen(cluster.store.get(KEYS.fires(PIPELINE)), worker.now())
        worker.plan.document_changed(document(generation=2, overlap="allow", misfire_grace=60))
        worker.settle()
        assert notes(worker) == []
        assert [instants((start.scheduled_at,))[0] for start in worker.starts] == [90_120.0, 90_130.0]

    def test_a_node_that_is_unbound_leaves_the_others_to_decide(self, cluster: Cluster, worker: Worker) -> None:
        worker.at(110.0)
        [start] = worker.starts
        cluster.set(mark=wall(120), open=(wall(120),))
        worker.plan.record_seen(cluster.store.get(KEYS.fires(PIPELINE)), worker.now())
        cluster.time = 121.0
        worker.plan.removed(2, wall(115), "unbound", elsewhere=True)
        worker.settle()
        assert not worker.plan.done, "its run is still going"
        worker.plan.ended(start.run, "succeeded", "")
        worker.settle()
        assert worker.plan.done
        assert notes(worker) == []
        assert instants(cluster.record.open) == [120.0]
        assert cluster.record.timing is not None

    def test_the_master_raises_the_generation(self, cluster: Cluster, worker: Worker) -> None:
        raised = upkeep.tended(
            cluster.record, epoch=FIRST, generation=5, sessions=[], bound_alive=True, stored=set(), now=wall(110)
        )
        assert raised.generation == 5


class TestRule9:
    """A restart: the old session is revoked, its entries are this node's to close or rerun, at once."""

    def test_own_entries_of_an_earlier_life(self) -> None:
        cluster = Cluster(document(on_node_loss="rerun"))
        worker = cluster.workers[0]
        worker.settle()
        worker.at(110.0)
        cluster.store.revoke(worker.lease)
        cluster.time = 112.0
        reborn = Worker(cluster, worker.name)
        reborn.settle()
        assert [(start.scheduled_at, start.attempt, start.trigger) for start in reborn.starts] == [
            (wall(110), 2, "rerun")
        ]
