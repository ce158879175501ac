"""A small real HTTP server that remembers what it was asked, and answers as the path says."""

import ssl
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer


@dataclass(frozen=True)
class Asked:
    """One request."""

    method: str
    path: str
    headers: dict[str, str]
    body: bytes


class _Server(ThreadingHTTPServer):
    daemon_threads = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.asked: list[Asked] = []
        self.closing = threading.Event()
        self.go_on = threading.Event()

    def handle_error(self, request: object, client_address: object) -> None:
        """Clients that go away are part of the tests."""


class _Handler(BaseHTTPRequestHandler):
    server: _Server

    def _answer(self) -> None:
        body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
        headers = {name.lower(): value for name, value in self.headers.items()}
        self.server.asked.append(Asked(self.command, self.path, headers, body))
        what, _, rest = self.path.strip("/").partition("/")
        getattr(self, f"_{what}")(rest)

    do_GET = do_POST = do_PUT = do_DELETE = _answer

    def _status(self, code: str) -> None:
        self._send(int(code), f"this is {code}\n".encode())

    def _send(self, code: int, body: bytes, **headers: str) -> None:
        self.send_response(code)
        for name, value in {"Content-Length": str(len(body)), **headers}.items():
            self.send_header(name.replace("_", "-"), value)
        self.end_headers()
        self.wfile.write(body)

    def _echo(self, rest: str) -> None:
        asked = self.server.asked[-1]
        self._send(200, asked.body, Set_Cookie="seen=1; Path=/")

    def _redirect(self, rest: str) -> None:
        self._send(302, b"", Location=f"/{rest}")

    def _loop(self, rest: str) -> None:
        self._send(302, b"", Location="/loop")

    def _hang(self, rest: str) -> None:
        self.server.closing.wait()

    def _endless(self, rest: str) -> None:
        self.send_response(200)
        self.end_headers()
        while not self.server.closing.is_set():
            self.wfile.write(b"x" * 65536)

    def _nonsense(self, rest: str) -> None:
        self.wfile.write(b"this is no HTTP\r\n\r\n")

    def _split(self, rest: str) -> None:
        self.send_response(200)
        self.end_headers()
        self.wfile.write(b"first a nee")
        self.server.go_on.wait()
        self.wfile.write(b"dle at last")

    def log_message(self, format: str, *args: object) -> None:
        """Quiet."""


@dataclass(frozen=True)
class HttpServer:
    """A running one. ``go_on`` lets the answer to /split come to its second half."""

    url: str
    asked: list[Asked]
    go_on: threading.Event


@contextmanager
def serving(context: ssl.SSLContext | None = None) -> Iterator[HttpServer]:
    """A server on a free port of 127.0.0.1, with TLS if there is a context."""
    server = _Server()
    if context is not None:
        server.socket = context.wrap_socket(server.socket, server_side=True)
    thread = threading.Thread(target=server.serve_forever, args=(0.01,))
    thread.start()
    scheme = "https" if context else "http"
    try:
        yield HttpServer(f"{scheme}://127.0.0.1:{server.server_port}", server.asked, server.go_on)
    finally:
        server.closing.set()
        server.go_on.set()
        server.shutdown()
        thread.join()
        server.server_close()
