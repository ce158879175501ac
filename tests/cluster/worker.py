"""Workers as processes of their own."""

import signal
import socket
import subprocess
import sys
from pathlib import Path

import httpx

from tests.endtoend.installation import ROOT
from tests.site.processes import environment
from workers.engine import identity, joining

STOP_WITHIN = 30.0


class Worker:
    """One worker. ``start`` after ``join``; ``kill`` and ``start`` as often as wanted."""

    def __init__(self, name: str, directory: Path, session_ttl: float) -> None:
        self.name = name
        self.state_dir = directory / name
        self.log = directory / f"{name}.log"
        self.node = ""
        self.process: subprocess.Popen[bytes]
        self._session_ttl = session_ttl

    def join(self, server_url: str, token: str) -> None:
        """Enrols."""
        about = {
            "name": self.name,
            "machine_id": identity.machine_id(),
            "host": socket.gethostname(),
            "version": "",
        }
        with httpx.Client(timeout=30) as client:
            self.node = joining.enrol(client, self.state_dir, server_url, token, about).node

    def start(self) -> None:
        """Begins the process."""
        command = [sys.executable, "-m", "workers.engine", "--state-dir", str(self.state_dir)]
        command += ["--session-ttl", f"{self._session_ttl:g}", "--grace", "3"]
        with self.log.open("ab") as log:
            self.process = subprocess.Popen(
                command,
                cwd=ROOT,
                env=environment(self.state_dir),
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,
            )

    def kill(self) -> None:
        """kill -9. Its guard lives, and ends its jobs."""
        self.process.kill()
        self.process.wait()

    def stop(self) -> None:
        """An orderly end, if it comes to one."""
        self.process.send_signal(signal.SIGCONT)
        self.process.terminate()
        try:
            self.process.wait(STOP_WITHIN)
        except subprocess.TimeoutExpired:
            self.kill()
