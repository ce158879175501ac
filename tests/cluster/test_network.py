"""The network that the harness cuts."""

import socket
import threading
from collections.abc import Iterator
from contextlib import suppress

import pytest

from tests.cluster.network import Network


@pytest.fixture
def echo() -> Iterator[str]:
    """A server that says again what it hears."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        threading.Thread(target=_serve, args=(server,), daemon=True).start()
        yield f"127.0.0.1:{server.getsockname()[1]}"
        server.shutdown(socket.SHUT_RDWR)


@pytest.fixture
def network(echo: str) -> Iterator[Network]:
    it = Network([echo])
    yield it
    it.close()


def test_silence_loses_nothing(network: Network) -> None:
    with _connect(network) as client:
        assert _said(client, b"one") == b"one"
        network.silence()
        client.settimeout(0.3)
        with pytest.raises(TimeoutError):
            _said(client, b"two")
        with _connect(network) as other:
            other.settimeout(0.3)
            with pytest.raises(TimeoutError):
                _said(other, b"three")
            network.restore()
            for late, text in ((client, b"two"), (other, b"three")):
                late.settimeout(10)
                assert late.recv(100) == text


def test_refusal_is_told(network: Network) -> None:
    with _connect(network) as client:
        assert _said(client, b"one") == b"one"
        network.refuse()
        with pytest.raises(ConnectionError):
            _said(client, b"two")
        with pytest.raises(ConnectionError):
            _connect(network)
    network.restore()
    with _connect(network) as client:
        assert _said(client, b"four") == b"four"


def test_refusal_ends_silence(network: Network) -> None:
    with _connect(network) as client:
        network.silence()
        network.refuse()
        with pytest.raises(ConnectionError):
            assert _said(client, b"one") == b"never"
    network.restore()
    with _connect(network) as client:
        assert _said(client, b"two") == b"two"


def _connect(network: Network) -> socket.socket:
    host, port = network.addresses[0].split(":")
    return socket.create_connection((host, int(port)), timeout=10)


def _said(client: socket.socket, text: bytes) -> bytes:
    client.sendall(text)
    answer = client.recv(100)
    if not answer:
        raise ConnectionResetError
    return answer


def _serve(server: socket.socket) -> None:
    with suppress(OSError):
        while True:
            client, _ = server.accept()
            threading.Thread(target=_answer, args=(client,), daemon=True).start()


def _answer(client: socket.socket) -> None:
    with suppress(OSError), client:
        while data := client.recv(100):
            client.sendall(data)
