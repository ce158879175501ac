"""Other schedulers, started as their own documents say, that do the same work in the same run.

Each is a context manager that gives the processes whose cost counts; the jobs write down themselves when they began
(bench/stamp.c), so that all are judged by the same clock.
"""

import os
import shutil
import subprocess
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path

from tests.etcd_server import free_ports, wait_until

ROOT = Path(__file__).resolve().parent.parent
PYTHON = ROOT / ".venv-bench" / "bin" / "python"
"""Where ``scripts/bench`` has installed requirements-bench.txt."""

LINES = 500
"""Of one crontab: Debian's cron refuses long ones."""


def next_minute(ahead: float) -> datetime:
    """The first full minute that is at least so many seconds away."""
    later = datetime.now(UTC) + timedelta(seconds=ahead)
    return later.replace(second=0, microsecond=0) + timedelta(minutes=1)


@contextmanager
def apscheduler(kind: str, count: int, since: datetime, *rest: str) -> Iterator[list[int]]:
    """``kind`` and ``rest`` as in bench/_apscheduler.py."""
    command = [str(PYTHON), "bench/_apscheduler.py", kind, str(count), str(since.timestamp()), *rest]
    process = subprocess.Popen(command, cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    assert process.stdout
    assert process.stdin
    try:
        assert process.stdout.readline() == "ready\n"
        yield [process.pid]
    finally:
        process.stdin.close()
        process.kill()
        process.wait()


@contextmanager
def cron(count: int, minute: datetime, command: str) -> Iterator[list[int]]:
    """Debian's cron on a crontab of its own: in a mount namespace, so that it sees none of the machine's."""
    with tempfile.TemporaryDirectory() as name:
        jobs = Path(name) / "cron.d"
        jobs.mkdir()
        line = f"{minute.minute} {minute.hour} {minute.day} {minute.month} * root {command}\n"
        for first in range(0, count, LINES):
            table = jobs / f"bench{first}"
            table.write_text(line * min(LINES, count - first))
            table.chmod(0o644)
        script = (
            'mount --bind "$1" /etc/cron.d && mount -t tmpfs none /var/spool/cron && mkdir /var/spool/cron/crontabs'
            " && mount --bind /dev/null /etc/crontab && mount -t tmpfs none /run && exec cron -f"
        )
        process = subprocess.Popen(
            ["unshare", "--mount", "sh", "-c", script, "sh", str(jobs)],
            env={"PATH": os.environ["PATH"], "TZ": "UTC"},
            stderr=subprocess.DEVNULL,
        )
        try:
            yield [process.pid]
        finally:
            process.kill()
            process.wait()


@contextmanager
def celery(count: int, minute: datetime, command: str) -> Iterator[list[int]]:
    """Redis, a worker and beat."""
    with tempfile.TemporaryDirectory() as name, _redis(Path(name)) as url:
        environ = os.environ | {
            "BENCH_REDIS": url,
            "BENCH_COUNT": str(count),
            "BENCH_MINUTE": str(minute.minute),
            "BENCH_HOUR": str(minute.hour),
            "BENCH_COMMAND": command,
            "PYTHONPATH": str(ROOT / "bench"),
        }
        base = [str(PYTHON), "-m", "celery", "-A", "_celery", "-q"]
        parts: Sequence[Sequence[str]] = (
            ["worker", "--pool=threads", "--concurrency=256", "--loglevel=error"],
            ["beat", f"--schedule={name}/beat", "--loglevel=error"],
        )
        started = [
            subprocess.Popen([*base, *part], cwd=name, env=environ, stdout=subprocess.DEVNULL, stderr=subprocess.STDOUT)
            for part in parts
        ]
        try:
            yield [process.pid for process in started]
            assert all(process.poll() is None for process in started), "Celery has ended by itself"
        finally:
            for process in started:
                process.kill()
                process.wait()


def there() -> list[str]:
    """Which of the peers can be run here."""
    can_mount = os.geteuid() == 0 and subprocess.run(["unshare", "--mount", "true"], check=False).returncode == 0
    found = ["apscheduler"] if PYTHON.exists() else []
    found += ["cron"] if shutil.which("cron") and can_mount else []
    return found + (["celery"] if PYTHON.exists() and shutil.which("redis-server") else [])


def cost(pids: Sequence[int]) -> tuple[float, float]:
    """Seconds of processor time, ended children included, and megabytes (1,000,000 bytes) resident."""
    spent = resident = 0.0
    for pid in pids:
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
        spent += sum(map(int, fields[11:15])) / os.sysconf("SC_CLK_TCK")
        resident += int(Path(f"/proc/{pid}/statm").read_text().split()[1]) * os.sysconf("SC_PAGESIZE") / 1e6
    return spent, resident


@contextmanager
def _redis(directory: Path) -> Iterator[str]:
    """A private one, in memory."""
    (port,) = free_ports(1)
    command = ["redis-server", "--port", str(port), "--bind", "127.0.0.1", "--save", "", "--dir", str(directory)]
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL)
    try:
        ping = ["redis-cli", "-p", str(port), "ping"]
        wait_until(lambda: subprocess.run(ping, capture_output=True, check=False).stdout == b"PONG\n", "redis answers")
        yield f"redis://127.0.0.1:{port}/0"
    finally:
        process.terminate()
        process.wait()
