"""Rules 1 to 3 of the claim protocol, one by one: each test fails without its rule."""

from coordination import fires
from coordination.gateway import Compare
from coordination.identity import SHARED, fire_run_id
from tests.claims.cluster import KEYS, PIPELINE, START, Cluster, Worker, document, instants, notes
from tests.simulation.world import wall
from workers.engine.plan import OVERLAP


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
