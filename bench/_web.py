"""The web process as the product starts it, for benchmarks of pages; the settings come from this process."""

import os
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import httpx

ROOT = Path(__file__).resolve().parent.parent


@contextmanager
def web(password: str, user: str = "bench") -> Iterator[tuple[str, httpx.Client]]:
    """Its address, and a browser that is signed in."""
    with socket.create_server(("127.0.0.1", 0)) as probe:
        port = probe.getsockname()[1]
    command = [
        *(sys.executable, "-m", "gunicorn", "--config", "ects_site/web_server.py"),
        *("--bind", f"127.0.0.1:{port}", "--log-level", "warning"),
    ]
    process = subprocess.Popen(command, cwd=ROOT, env=os.environ | {"ECTS_PORT": str(port)})
    base = f"http://127.0.0.1:{port}"
    try:
        with httpx.Client(base_url=base, timeout=120, follow_redirects=True) as client:
            while True:
                with suppress(httpx.TransportError):
                    if client.get("/healthz").status_code == 200:
                        break
                time.sleep(0.1)
            client.get("/admin/login/")
            form = {"username": user, "password": password, "csrfmiddlewaretoken": client.cookies["csrftoken"]}
            assert client.post("/admin/login/?next=/admin/", data=form).status_code == 200
            yield base, client
    finally:
        process.terminate()
        process.wait(30)
