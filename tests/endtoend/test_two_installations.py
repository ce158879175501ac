"""Two installations on one etcd, under different prefixes, do not see each other."""

from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest

from coordination.etcd import SyncEtcd
from coordination.gateway import EtcdSettings
from tests.endtoend.installation import Installation

PREFIX = "/ects2"
"""The other's is ``/ects``: what begins with the same letters is not below it."""


@pytest.fixture
def other(ects: Installation, tmp_path: Path) -> Iterator[Installation]:
    endpoint = (ects.directory / "etcd" / "endpoint").read_text()
    settings = {"ECTS_ETCD_ENDPOINTS": endpoint, "ECTS_ETCD_PREFIX": PREFIX, "ECTS_RESYNC_SECONDS": "1"}
    it = Installation(tmp_path / "var", settings)
    try:
        it.start()
        yield it
    finally:
        it.stop()


def test_they_do_not_see_each_other(ects: Installation, other: Installation) -> None:
    nodes = {node["id"] for node in ects.nodes()}
    assert other.node not in nodes
    assert [node["id"] for node in other.nodes()] == [other.node]
    pipelines = {}
    for house in (ects, other):
        job = house.task("shell", "echo $ECTS_NODE")
        pipelines[house] = house.pipeline("* * * * * *", [{"task": job}], placement="one_sticky")
    for house, pipeline in pipelines.items():
        runs = house.ended(pipeline, 3)
        assert {(run["state"], run["node"]) for run in runs} == {("succeeded", house.node)}

    endpoint = (ects.directory / "etcd" / "endpoint").read_text()
    with closing(SyncEtcd(EtcdSettings((endpoint,)))) as gateway:
        keys = {item.key for item in gateway.snapshot("/").items}
        both = {f"{prefix}/fires/{pipelines[house]}" for prefix, house in (("/ects", ects), (PREFIX, other))}
        assert both <= keys
        assert all(key.startswith(("/ects/", f"{PREFIX}/")) for key in keys)

        # Resync, which the other does each second, takes away what it does not know, below its own prefix only.
        document = f"/ects/pipelines/{ects.node}/{pipelines[ects]}"
        before = gateway.get(document)
        ended = len(other.ended(pipelines[other]))
        other.ended(pipelines[other], ended + 3)
        assert before is not None
        assert gateway.get(document) == before
    assert {node["id"] for node in ects.nodes()} == nodes
    for house, pipeline in pipelines.items():
        house.disable(pipeline)
