"""Why a fire did not run, and what is caught up."""

import pytest

from tests.claims.cluster import Cluster, Worker, document, instants, notes
from workers.engine.claims_fire import SUPERSEDED, TOO_OLD
from workers.engine.plan import OVERLAP, PAUSED, Note


class TestTheLedger:
    """Why a fire did not run."""

    def test_etcd_unreachable_is_named(self) -> None:
        cluster = Cluster(document(misfire="skip"))
        worker = cluster.workers[0]
        worker.settle()
        worker.standing.session_lost(worker.session)
        cluster.time = 110.0
        worker.settle()
        cluster.time = 150.0
        worker.settle()
        assert worker.starts == []
        worker.renew_session()
        worker.settle()
        assert (110.0, "missed", "etcd could not be reached") in notes(worker)

    def test_paused_fires_are_skipped(self) -> None:
        cluster = Cluster(document(paused=True))
        cluster.workers[0].settle()
        cluster.workers[0].at(110.0)
        assert notes(cluster.workers[0]) == [(110.0, "skipped", PAUSED)]

    def test_a_draining_worker_leaves_fires_to_others(self, cluster: Cluster, worker: Worker) -> None:
        worker.standing.draining = True
        second = cluster.workers[1]
        second.settle()
        worker.at(110.0)
        second.at(112.0)
        assert (len(worker.starts), len(second.starts)) == (0, 1)

    def test_fires_of_which_all_nodes_drain_are_told_when_one_does_not_any_more(self, cluster: Cluster) -> None:
        for node in cluster.workers:
            node.settle()
            node.standing.draining = True
            node.at(110.0)
        first = cluster.workers[0]
        first.at(150.0)
        first.renew_session()
        first.standing.draining = False
        first.settle()
        assert (110.0, "missed", "this node was draining") in notes(first)

    @pytest.mark.parametrize(
        ("misfire", "ran"), [("skip", [170.0]), ("latest", [170.0]), ("all", [140.0, 150.0, 160.0])]
    )
    def test_misfires(self, misfire: str, ran: list[float]) -> None:
        """Nobody was there from 100 to 177; the grace of three nodes is 16 seconds, so 170 is on time.

        What is caught up goes one after the other; what is on time meanwhile is skipped, as the overlap says.
        """
        cluster = Cluster(document(misfire=misfire, misfire_cap=3))
        worker = cluster.workers[0]
        worker.settle()
        cluster.time = 177.0
        worker.renew_session()
        self._run_dry(worker)
        assert self._ran(worker) == ran
        told = {second for second, _, _ in notes(worker)}
        assert told.isdisjoint(self._ran(worker))
        assert told | set(self._ran(worker)) == {float(second) for second in range(110, 171, 10)}

    def test_the_latest_is_caught_up_when_nothing_is_on_time(self) -> None:
        cluster = Cluster(document(misfire="latest", schedule="40 30"))
        worker = cluster.workers[0]
        worker.settle()
        cluster.time = 170.0 + 39.0
        worker.renew_session()
        self._run_dry(worker)
        assert self._ran(worker) == [190.0]
        assert notes(worker) == [(110.0, "missed", SUPERSEDED), (150.0, "missed", SUPERSEDED)]
        assert worker.starts[0].trigger == "catch_up"

    def test_what_is_older_than_the_window_is_missed(self) -> None:
        cluster = Cluster(document(misfire="all", misfire_window=35))
        worker = cluster.workers[0]
        worker.settle()
        cluster.time = 177.0
        worker.renew_session()
        self._run_dry(worker)
        assert self._ran(worker) == [150.0, 160.0]
        assert {reason for _, _, reason in notes(worker)} == {TOO_OLD, OVERLAP}

    def test_a_long_stretch_is_one_gap(self) -> None:
        cluster = Cluster(document(schedule="1 0"))
        worker = cluster.workers[0]
        worker.settle()
        cluster.time = 5000.0
        worker.renew_session()
        self._run_dry(worker)
        gaps = [action.record for action in worker.actions if isinstance(action, Note) and action.record.count > 1]
        assert sum(gap.count for gap in gaps) == 4983 - 100
        assert len(gaps) == 3

    def _run_dry(self, worker: Worker) -> None:
        """Every run ends at once."""
        for _ in range(20):
            worker.settle()
            for start in worker.starts:
                worker.plan.ended(start.run, "succeeded", "")

    def _ran(self, worker: Worker) -> list[float]:
        return [instants((start.scheduled_at,))[0] for start in worker.starts]
