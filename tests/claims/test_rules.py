"""The rules of the claim protocol, one by one: each test fails without its rule."""

import pytest
from msgspec.structs import replace

from coordination import fires, upkeep
from coordination.fires import Claim, FireRecord, Seen
from coordination.gateway import Compare, Put
from coordination.identity import SHARED, fire_run_id
from tests.claims.cluster import KEYS, NAMES, PIPELINE, START, Cluster, Worker, document, instants
from tests.simulation.world import wall
from workers.engine.claims_actions import Incident, Reattached, Remember, Start
from workers.engine.claims_change import CHANGED
from workers.engine.claims_fire import SUPERSEDED, TOO_OLD
from workers.engine.claims_scene import LOST_DATA
from workers.engine.placement import Member
from workers.engine.plan import OVERLAP, PAUSED, Kill, Note
from workers.engine.standing import FENCE_MARGIN, SESSION_TTL, SKEW_LIMIT


def notes(worker: Worker) -> list[tuple[float, str, str]]:
    rows = [action.record for action in worker.actions if isinstance(action, Note)]
    return [(instants((row.scheduled_at,))[0], row.state, row.reason) for row in rows]


@pytest.fixture
def cluster() -> Cluster:
    return Cluster()


@pytest.fixture
def worker(cluster: Cluster) -> Worker:
    """The first by rank, with the record begun."""
    first = cluster.workers[0]
    first.settle()
    return first


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
        def tend(alive: bool, sessions: list[tuple[str, str]]) -> FireRecord:
            return upkeep.tended(
                orphan.record, generation=1, sessions=sessions, bound_alive=alive, stored=set(), now=wall(120)
            )

        run = orphan.record.runs[0]
        assert tend(False, [(run.node, run.session)]).runs
        assert tend(True, []).runs
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

    def test_a_run_that_was_taken_over_is_killed(self, cluster: Cluster, worker: Worker) -> None:
        worker.at(110.0)
        taken = fires.take_over(cluster.record, cluster.record.runs[0].nonce, None, "")
        cluster.set(runs=taken.runs, recent=taken.recent)
        worker.at(120.0)
        assert [action.run for action in worker.actions if isinstance(action, Kill)] == [worker.starts[0].run]

    def test_a_standby_that_starts_late_has_the_higher_fence(self, cluster: Cluster, worker: Worker) -> None:
        worker.at(110.0)
        worker.plan.ended(worker.starts[0].run, "succeeded", "")
        worker.at(120.0)
        assert worker.starts[1].fence > worker.starts[0].fence


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
        worker.at(110.0)
        known = cluster.record
        begun = fires.reattach(fires.inherit(known, 2), known.runs[0].nonce, "new")
        assert fires.inherit(replace(known, version=9), 2, begun).runs[0].session == "new"

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
        mended = upkeep.tended(cluster.record, generation=1, sessions=[], bound_alive=True, stored=set(), now=wall(110))
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

    def test_the_master_raises_the_generation(self, cluster: Cluster, worker: Worker) -> None:
        raised = upkeep.tended(cluster.record, generation=5, sessions=[], bound_alive=True, stored=set(), now=wall(110))
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


def test_the_wake_is_at_the_next_turn(cluster: Cluster, worker: Worker) -> None:
    assert worker.wake.wall == wall(110)
    second = cluster.workers[1]
    second.settle()
    assert second.wake.wall == wall(112)


def test_unreadable_bytes_are_void() -> None:
    cluster = Cluster()
    cluster.store.transact((), (Put(KEYS.fires(PIPELINE), b"{"),))
    assert fires.seen(cluster.store.get(KEYS.fires(PIPELINE))) == Seen(None, cluster.store.revision)


def test_a_start_is_given_once(cluster: Cluster, worker: Worker) -> None:
    worker.at(110.0)
    worker.plan.record_seen(cluster.store.get(KEYS.fires(PIPELINE)), worker.now())
    cluster.set(generation=1)
    worker.plan.record_seen(cluster.store.get(KEYS.fires(PIPELINE)), worker.now())
    worker.settle()
    assert len([action for action in worker.actions if isinstance(action, Start)]) == 1
