"""Three etcd nodes, three workers, and one of them in trouble: every fire is accounted for, and none is doubled."""

from collections.abc import Iterator
from contextlib import closing
from datetime import UTC, datetime, timedelta

import pytest

from coordination import rights
from coordination.errors import PermissionDenied
from coordination.etcd import SyncEtcd
from coordination.keys import Keys
from tests.cluster.cluster import SESSION_TTL, Cluster, Wish
from tests.endtoend.client import wait_for
from tests.faults.account import Begun
from tests.faults.facts import Pipeline
from workers.engine import identity

WISHES = {
    "quick": Wish(),
    "alone": Wish(placement="one_sticky", on_node_loss="rerun", overlap="skip", period=2, takes=3),
    "again": Wish(on_node_loss="rerun", held=True),
    "once": Wish(held=True),
    "each": Wish(placement="every", takes=0.7),
}

TAKEN_WITHIN = SESSION_TTL + 20
"""Seconds until another node runs what was lost; CI's machines are slow."""

Pipelines = dict[str, Pipeline]


@pytest.fixture(scope="module")
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cluster]:
    with Cluster(tmp_path_factory.mktemp("cluster"), workers=3) as it:
        yield it


@pytest.fixture
def pipelines(cluster: Cluster) -> Iterator[Pipelines]:
    """One of each kind, firing; afterwards they are gone."""
    cluster.account.hold.touch()
    made = {name: cluster.pipeline(wish) for name, wish in WISHES.items()}
    yield made
    cluster.account.hold.unlink(missing_ok=True)
    cluster.disable(list(made.values()))


def test_no_worker_sees_what_is_meant_for_another(cluster: Cluster) -> None:
    """With all that it was given at enrolment."""
    keys, papers = Keys(), [identity.load(worker.state_dir, "") for worker in cluster.workers]
    for known in filter(None, papers):
        assert known.etcd.user == rights.node_name(keys, known.node)
        with closing(SyncEtcd(known.etcd)) as client:
            client.snapshot(keys.pipelines(known.node))
            for other in (worker.node for worker in cluster.workers if worker.node != known.node):
                with pytest.raises(PermissionDenied):
                    client.snapshot(keys.pipelines(other))
    assert all(papers)


def test_the_holder_is_killed(cluster: Cluster, pipelines: Pipelines) -> None:
    job = wait_for("a worker has jobs of both kinds", lambda: _victim(cluster, pipelines))
    worker = cluster.worker(job.node)
    with cluster.trouble(worker):
        worker.kill()
        lost = [begun for begun in cluster.going(pipelines["once"]) if begun.node == worker.node]
        [again] = wait_for("another node runs it again", lambda: _attempt(cluster, job, 2), TAKEN_WITHIN)
        cluster.account.hold.unlink()
        worker.start()
    wait_for("it fires", lambda: _fires(cluster, pipelines["quick"], worker.node))

    found, happened = cluster.verdict(list(pipelines.values()))
    assert not found, "\n".join(map(str, found))
    assert again.node != job.node
    assert again.fence > job.fence
    rows = {entry.record.run: entry.record for entry in happened.entries}
    assert rows[again.run].state == "succeeded"
    assert {rows[begun.run].state for begun in (job, *lost)} == {"lost"}
    assert not [begun for begun in lost if _attempt(cluster, begun, 2)]


def _victim(cluster: Cluster, pipelines: Pipelines) -> Begun | None:
    """A job that is to be run again, on a node that has one, too, that is not."""
    holders = {begun.node for begun in cluster.going(pipelines["once"])}
    return next((begun for begun in cluster.going(pipelines["again"]) if begun.node in holders), None)


def _attempt(cluster: Cluster, job: Begun, number: int) -> list[Begun]:
    begun = cluster.account.executions()
    return [
        other
        for other in begun
        if (other.pipeline, other.instant, other.attempt) == (job.pipeline, job.instant, number)
    ]


def _fires(cluster: Cluster, pipeline: Pipeline, node: str) -> bool:
    """This node has a share of what fires now."""
    lately = datetime.now(UTC) - timedelta(seconds=2)
    return any(begun.node == node and begun.instant > lately for begun in cluster.begun(pipeline))
