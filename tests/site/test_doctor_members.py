"""What the doctor tells of etcd's members, and of those that tell it nothing."""

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import grpc
import pytest

from coordination.gateway import EtcdSettings
from ects_site.doctor import Finding, members
from tests.etcd_server import EtcdServer


@pytest.fixture
def reserved() -> Iterator[str]:
    """A server that tells its status to nobody, in the words of etcd 3.5.30 to a user who is not root."""

    def status(request: bytes, context: Any) -> None:
        context.abort(grpc.StatusCode.PERMISSION_DENIED, "etcdserver: permission denied")

    server = grpc.server(ThreadPoolExecutor(2))
    handlers = {"Status": grpc.unary_unary_rpc_method_handler(status)}
    server.add_generic_rpc_handlers([grpc.method_handlers_generic_handler("etcdserverpb.Maintenance", handlers)])
    port = server.add_insecure_port("127.0.0.1:0")
    server.start()
    yield f"127.0.0.1:{port}"
    server.stop(None).wait(60)


def told(*endpoints: str) -> list[Finding]:
    return list(members.check(EtcdSettings(endpoints=endpoints)))


def test_one_that_tells_root_only(reserved: str) -> None:
    [finding] = told(reserved)
    assert finding.verdict == "warn"
    assert finding.words.startswith(f"{reserved} tells its version, size and alarms to etcd's root only")
    assert "ECTS_ETCD_USER" in finding.advice


def test_two_of_three_are_no_cluster_of_two(etcd: EtcdServer) -> None:
    there = (etcd.endpoint, etcd.endpoint.replace("127.0.0.1", "localhost"))
    assert any("has two members" in finding.words for finding in told(*there))
    assert not any("has two members" in finding.words for finding in told(*there, "127.0.0.1:1"))
