"""A cluster, and its first worker by rank."""

import pytest

from tests.claims.cluster import Cluster, Worker


@pytest.fixture
def cluster() -> Cluster:
    return Cluster()


@pytest.fixture
def worker(cluster: Cluster) -> Worker:
    """The first by rank, with the record begun."""
    first = cluster.workers[0]
    first.settle()
    return first
