"""Which hosts are this machine itself."""

import pytest

from coordination.addresses import is_loopback
from coordination.gateway import EtcdSettings


@pytest.mark.parametrize("host", ["127.0.0.1", "127.9.8.7", "::1", "[::1]", "localhost", "LOCALHOST"])
def test_what_stays_on_this_machine(host: str) -> None:
    assert is_loopback(host)


@pytest.mark.parametrize("host", ["", "10.0.0.1", "127.example.com", "localhost.example", "::2", "0.0.0.0"])
def test_what_leaves_it(host: str) -> None:
    assert not is_loopback(host)


def test_one_member_elsewhere_is_enough_for_others_to_reach_etcd() -> None:
    assert EtcdSettings(("127.0.0.1:1", "[::1]:2")).is_local
    assert not EtcdSettings(("127.0.0.1:1", "etcd-2.example:2379")).is_local
