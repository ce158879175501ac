"""The console's sockets: opened, and taken over."""

import socket

import pytest

from ects_site import listening
from ects_site.listening import EVERYWHERE, LOOPBACK, CannotListen, PortTaken
from tests.etcd_server import free_ports


def _answers(address: str, port: int) -> bool:
    try:
        socket.create_connection((address, port), timeout=5).close()
    except ConnectionRefusedError:
        return False
    return True


def test_who_waits_on_the_loopback_is_kept_when_everybody_may_come() -> None:
    [port] = free_ports(1)
    [first] = listening.listen(LOOPBACK, port)
    waiting = socket.create_connection((LOOPBACK, port), timeout=5)
    kept, added = listening.listen(EVERYWHERE, port, [first])
    assert kept is first
    assert _answers("127.0.0.2", port)
    accepted, address = first.accept()
    assert address == waiting.getsockname(), "who waited is served"
    with pytest.raises(PortTaken, match="is in use: set ECTS_PORT"):
        listening.listen(EVERYWHERE, port)
    listening.close([kept, added, accepted, waiting])
    assert not _answers(LOOPBACK, port)


def test_what_nobody_asked_for_is_closed() -> None:
    [port] = free_ports(1)
    [everywhere] = listening.listen(EVERYWHERE, port)
    [loopback] = listening.listen(LOOPBACK, port, [everywhere])
    assert not _answers("127.0.0.2", port)
    assert _answers(LOOPBACK, port)
    loopback.close()


def test_one_address_and_the_loopback_for_this_machines_worker() -> None:
    [port] = free_ports(1)
    sockets = listening.listen("127.0.0.3", port)
    assert [sock.getsockname()[0] for sock in sockets] == ["127.0.0.3", LOOPBACK]
    assert listening.options(sockets)[1::2] == [f"fd://{sock.fileno()}" for sock in sockets]
    listening.close(sockets)


def test_an_address_of_another_machine_is_said_and_nothing_stays_open() -> None:
    [port] = free_ports(1)
    with pytest.raises(CannotListen, match=r"ECTS_BIND=192\.0\.2\.200.*Cannot assign"):
        listening.listen("192.0.2.200", port)
    assert not _answers(LOOPBACK, port)
