"""What the set-up says of an etcd that it cannot use, and of one that it can, each beside the right field."""

import socket
import ssl
import struct
import subprocess
import threading
from collections.abc import Iterator
from contextlib import closing, contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from socketserver import BaseRequestHandler, ThreadingTCPServer

import pytest
from msgspec import structs

from coordination.crypto import Signer
from coordination.etcd import SyncEtcd
from coordination.gateway import EtcdSettings, Put
from ects_site.configuration_file import Etcd
from ects_site.probes import etcd as probes
from ects_site.probes.endpoint import GREETING, SETTINGS
from tests.certificates import Authority
from tests.etcd_server import EtcdServer, free_ports, running


def _wrong(etcd: Etcd, **changes: object) -> dict[str, str]:
    """What is said of it, by field."""
    report = probes.probe(structs.replace(etcd, **changes))
    assert report.wrong
    return dict(report.wrong)


def test_one_that_is_as_it_should_be(guarded_etcd: Etcd, guarded: EtcdSettings) -> None:
    report = probes.probe(guarded_etcd)
    assert report.wrong == []
    assert report.holds == []
    assert f"{guarded.endpoints[0]}: etcd {report.versions[0]} answers" in report.notes
    assert "a key below /ects can be written, read and deleted" in report.notes
    assert "nothing is below /ects yet" in report.notes
    assert "each worker will get an etcd user of its own" in report.notes
    with closing(SyncEtcd(probes.settings_of(guarded_etcd))) as gateway:
        assert gateway.snapshot("/ects/").items == ()


def test_who_is_not_let_in(guarded_etcd: Etcd) -> None:
    assert "without a user" in _wrong(guarded_etcd, user="", password="")["user"]
    assert "refuses this user" in _wrong(guarded_etcd, password="another")["password"]
    assert "refuses this user" in _wrong(guarded_etcd, user="nobody")["password"]
    said = _wrong(guarded_etcd, user="reader", password="secret of reader")["user"]
    assert "etcdctl role grant-permission ROLE readwrite --prefix=true /ects/" in said


def test_a_user_who_makes_no_users(guarded_etcd: Etcd) -> None:
    """Then the workers share one, made by etcd's administrator."""
    limited = structs.replace(guarded_etcd, user="limited", password="secret of limited")
    assert "etcdctl user grant-role limited root" in _wrong(limited)["user"]
    assert "below /other" in _wrong(limited, config="/other/config")["user"]
    shared = {"worker_user": "reader", "worker_password": "secret of reader"}
    assert probes.probe(structs.replace(limited, **shared)).wrong == []
    said = _wrong(limited, worker_user="reader", worker_password="another")["worker_password"]
    assert "refuses this user" in said


def test_tls_that_does_not_fit(guarded_etcd: Etcd, tmp_path: Path) -> None:
    stranger = Authority(tmp_path, "stranger").create()
    foreign = stranger.issue("foreign", "clientAuth")
    bare = {"certificate": "", "key": ""}
    assert "wants TLS" in _wrong(guarded_etcd, ca="", **bare)["ca"]
    assert "not signed by this authority" in _wrong(guarded_etcd, ca=str(stranger.certificate))["ca"]
    assert "lets in only clients with a certificate" in _wrong(guarded_etcd, **bare)["certificate"]
    said = _wrong(guarded_etcd, certificate=str(foreign.certificate), key=str(foreign.key))
    assert "does not accept this client certificate" in said["certificate"]


def test_files_that_cannot_be_used(guarded_etcd: Etcd, tmp_path: Path) -> None:
    other = Authority(tmp_path, "other").create()
    (tmp_path / "words").write_text("no certificate")
    locked = str(tmp_path / "locked.key")
    subprocess.run(
        ["openssl", "pkey", "-in", guarded_etcd.key, "-aes256", "-passout", "pass:x", "-out", locked], check=True
    )
    assert "No such file" in _wrong(guarded_etcd, ca=str(tmp_path / "none"))["ca"]
    assert "Is a directory" in _wrong(guarded_etcd, ca=str(tmp_path))["ca"]
    assert "no certificate in PEM" in _wrong(guarded_etcd, ca=str(tmp_path / "words"))["ca"]
    assert "no certificate in PEM" in _wrong(guarded_etcd, certificate=str(tmp_path / "words"))["certificate"]
    assert "no private key in PEM" in _wrong(guarded_etcd, key=str(tmp_path / "words"))["key"]
    assert "not the key of this certificate" in _wrong(guarded_etcd, key=str(other.key))["key"]
    assert "is encrypted" in _wrong(guarded_etcd, key=locked)["key"]
    assert "is missing" in _wrong(guarded_etcd, key="")["key"]
    assert "the CA certificate" in _wrong(guarded_etcd, ca="")["ca"]


def test_a_certificate_for_another_name(tmp_path: Path) -> None:
    authority = Authority(tmp_path, "authority").create()
    own = authority.issue("elsewhere", "serverAuth", names=["DNS:etcd-1.example", "DNS:etcd-2.example"])
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(own.certificate, own.key)
    with _web(context) as port:
        said = _wrong(Etcd(endpoints=[f"127.0.0.1:{port}"], ca=str(authority.certificate)))["endpoints"]
    assert "for other names (etcd-1.example, etcd-2.example)" in said


def test_nobody_there(etcd: EtcdServer) -> None:
    [port] = free_ports(1)
    said = _wrong(Etcd(endpoints=[etcd.endpoint, f"127.0.0.1:{port}", "no-such-host.invalid:2379"]))
    assert set(said) == {"endpoints"}
    sentences = [s for _f, s in probes.probe(Etcd(endpoints=[f"127.0.0.1:{port}", "no-such-host.invalid:2379"])).wrong]
    assert sentences[0].startswith(f"127.0.0.1:{port}: the connection is refused")
    assert sentences[1].startswith("no-such-host.invalid:2379: no machine of this name")


def test_something_else_there(etcd: EtcdServer, tmp_path: Path) -> None:
    authority = Authority(tmp_path, "authority").create()
    with _web() as port:
        assert f"127.0.0.1:{port}" in _wrong(Etcd(endpoints=[f"127.0.0.1:{port}"]))["endpoints"]
    said = _wrong(Etcd(endpoints=[etcd.endpoint], ca=str(authority.certificate)))["ca"]
    assert "without TLS" in said


@pytest.mark.parametrize("parting", ["words", "end", "reset", "silence"])
def test_a_handshake_in_the_clear_ends_in_any_way(parting: str, tmp_path: Path) -> None:
    authority = Authority(tmp_path, "authority").create()
    with _clear(parting) as port:
        assert "without TLS" in _wrong(Etcd(endpoints=[f"127.0.0.1:{port}"], ca=str(authority.certificate)))["ca"]


def test_members_of_two_clusters(etcd: EtcdServer, tmp_path: Path) -> None:
    with running(tmp_path) as other:
        said = _wrong(Etcd(endpoints=[etcd.endpoint, other.endpoint], config="/two/config"))["endpoints"]
    assert said == f"{other.endpoint} is of another cluster than {etcd.endpoint}"


def test_an_installation_that_is_there_is_told(etcd: EtcdServer) -> None:
    signer = Signer(bytes(32))
    with closing(SyncEtcd(EtcdSettings((etcd.endpoint,)))) as gateway:
        for key in ("nodes/a", "pipelines/a/p", "pipelines/a/q"):
            gateway.transact([], [Put(f"/there/{key}", b"{}")])
        gateway.transact([], [Put("/there/config", signer.sign("config", b"{}"))])
        gateway.transact([], [Put("/thereafter/nodes/b", b"{}")])
    report = probes.probe(Etcd(endpoints=[etcd.endpoint], config="/there/config"))
    assert report.wrong == []
    assert report.signed_by == signer.key_id
    [said] = report.holds
    assert "4 keys, 1 node that is online, 2 pipelines of nodes" in said
    assert signer.key_id in said


class _web:
    """A server that is no etcd."""

    def __init__(self, context: ssl.SSLContext | None = None) -> None:
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), BaseHTTPRequestHandler)
        if context is not None:
            self._server.socket = context.wrap_socket(self._server.socket, server_side=True)
        # Handshakes that fail are what is tested.
        self._server.handle_error = lambda *_: None  # type: ignore[method-assign]

    def __enter__(self) -> int:
        threading.Thread(target=self._server.serve_forever, daemon=True).start()
        return self._server.server_port

    def __exit__(self, *_: object) -> None:
        self._server.shutdown()
        self._server.server_close()


@contextmanager
def _clear(parting: str) -> Iterator[int]:
    """A server of HTTP/2 in the clear, which takes its leave of a TLS handshake in one of the ways of servers."""

    class Handler(BaseRequestHandler):
        def handle(self) -> None:
            if self.request.recv(1000) == GREETING:
                self.request.sendall(b"\x00\x00\x00" + bytes([SETTINGS]) + bytes(5))
            elif parting == "words":
                self.request.sendall(b"HTTP/1.0 400 Bad Request\r\n\r\n")
            elif parting == "reset":
                self.request.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
                self.request.close()
            elif parting == "silence":
                while self.request.recv(1000):
                    pass

    with ThreadingTCPServer(("127.0.0.1", 0), Handler) as server:
        server.daemon_threads = True
        thread = threading.Thread(target=server.serve_forever, daemon=True)
        thread.start()
        yield server.server_address[1]
        server.shutdown()
        thread.join()
