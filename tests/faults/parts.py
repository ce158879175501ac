"""The programs of an installation, each on a host, which can be killed, stopped and started again."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from pathlib import Path

import MySQLdb

from tests.etcd_server import wait_until
from tests.faults.hosts import Host
from tests.site.processes import ROOT, environment

STOP_WITHIN = 40.0


class Part:
    """A program and what it started in its process group. What it says goes to ``log``."""

    def __init__(self, name: str, host: Host, command: Sequence[str], env: Mapping[str, str], log: Path) -> None:
        self.name = name
        self.host = host
        self.log = log
        self.began = 0.0
        """Of its last start, on the wall clock."""
        self._command = [*host.prefix, *command]
        self._env = dict(env)
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def pid(self) -> int:
        assert self._process is not None
        return self._process.pid

    def start(self) -> None:
        """Begins the process."""
        self.began = time.time()
        with self.log.open("ab") as log:
            self._process = subprocess.Popen(
                self._command,
                cwd=ROOT,
                env=self._env,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,
            )

    def kill(self) -> None:
        """kill -9."""
        self._signal(signal.SIGKILL)
        assert self._process is not None
        self._process.wait()

    def pause(self) -> None:
        """SIGSTOP: its sockets accept, nothing answers."""
        self._signal(signal.SIGSTOP)

    def resume(self) -> None:
        """SIGCONT."""
        self._signal(signal.SIGCONT)

    def stop(self) -> None:
        """An orderly end, if it comes to one."""
        if self._process is None or self._process.poll() is not None:
            return
        self.resume()
        self._process.terminate()
        try:
            self._process.wait(STOP_WITHIN)
        except subprocess.TimeoutExpired:
            self.kill()

    def _signal(self, number: signal.Signals) -> None:
        if self._process is not None and self._process.poll() is None:
            os.killpg(self._process.pid, number)


class MariaDB(Part):
    """A MariaDB server with one empty database, durable as in production."""

    PORT = 3306
    START_WITHIN = 60.0

    def __init__(self, host: Host, directory: Path) -> None:
        self._data = directory / "mariadb"
        self.url = f"mysql://ects:ects@{host.address}:{self.PORT}/ects"
        self._first = directory / "mariadb.sql"
        self._first.write_text(
            "CREATE DATABASE IF NOT EXISTS ects CHARACTER SET utf8mb4;\n"
            "CREATE USER IF NOT EXISTS ects@'%' IDENTIFIED BY 'ects';\n"
            "GRANT ALL ON ects.* TO ects@'%';\n"
        )
        command = (
            *("mariadbd", "--no-defaults", "--user=root", f"--datadir={self._data}", f"--init-file={self._first}"),
            *(f"--socket={directory / 'mariadb.socket'}", f"--pid-file={directory / 'mariadb.pid'}"),
            *(f"--bind-address={host.address}", f"--port={self.PORT}", "--skip-name-resolve"),
            *("--character-set-server=utf8mb4", "--innodb-buffer-pool-size=64M"),
        )
        super().__init__("mariadb", host, command, environment(directory), directory / "mariadb.log")

    def install(self) -> None:
        """Makes the data directory."""
        done = subprocess.run(
            [
                *("mariadb-install-db", "--no-defaults", "--user=root", f"--datadir={self._data}"),
                *("--auth-root-authentication-method=normal", "--skip-test-db"),
            ],
            capture_output=True,
            text=True,
            check=False,
        )
        assert done.returncode == 0, done.stdout + done.stderr

    def start(self) -> None:
        """Begins the process, and returns when it lets its user in."""
        super().start()
        wait_until(self._lets_in, f"{self.name} accepts, see {self.log}", self.START_WITHIN)

    def _lets_in(self) -> bool:
        account = {"user": "ects", "passwd": "ects", "db": "ects"}
        try:
            MySQLdb.connect(host=self.host.address, port=self.PORT, connect_timeout=5, **account).close()
        except MySQLdb.Error:
            return False
        return True


def web(host: Host, port: int, env: Mapping[str, str], directory: Path) -> Part:
    """The console, as in docker/compose.yaml."""
    command = (
        *(sys.executable, "-m", "gunicorn", "ects_site.wsgi:application", f"--bind=0.0.0.0:{port}"),
        *("--worker-class=gthread", "--workers=2", "--threads=32", "--timeout=60", "--graceful-timeout=10"),
        *("--no-control-socket", "--log-level=warning", "--logger-class=ects_site.web_log.Logger"),
    )
    return Part("web", host, command, env, directory / "web.log")


def master(host: Host, env: Mapping[str, str], directory: Path) -> Part:
    """A master."""
    return Part(host.name, host, (sys.executable, "manage.py", "runmaster"), env, directory / f"{host.name}.log")
