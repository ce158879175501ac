"""Bench of followers: what 200 people who follow a running run cost the other pages, over the real web process.

A run is going and writes a line a second. Pages are asked for, one after the other, first with nobody following, then
with all followers: each holds a stream, or polls every two seconds when it is refused one, as the page does. Prints
one JSON object a line: {"figure", "value", "unit", "against", "ratio"}; the value is the median in milliseconds, the
ratio the one without followers divided by it: 1 is no cost. SQLite, or what ECTS_DATABASE_URL names.
"""

import argparse
import os
import secrets
import sys
import tempfile
import threading
import time
import uuid
from contextlib import suppress
from pathlib import Path
from statistics import median

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))

import django  # noqa: E402

DIRECTORY = tempfile.TemporaryDirectory()
os.environ |= {
    "DJANGO_SETTINGS_MODULE": "ects_site.settings",
    "ECTS_DATA_DIR": DIRECTORY.name,
    "ECTS_DATABASE_URL": os.environ.get("ECTS_DATABASE_URL", f"sqlite:///{DIRECTORY.name}/ects.sqlite3"),
    "ECTS_LOG_LEVEL": "ERROR",
}
django.setup()

import httpx  # noqa: E402
from django.contrib.auth import get_user_model  # noqa: E402
from django.core.management import call_command  # noqa: E402
from django.db import connection  # noqa: E402
from django.utils import timezone  # noqa: E402

from bench._web import web  # noqa: E402
from bench._worker import say  # noqa: E402
from logs.models import Output, Run, StepRun  # noqa: E402

FOLLOWERS = 200
TIMES = 40
POLL = 2.0
"""Seconds, as the page does."""

PASSWORD = secrets.token_urlsafe(12)


def running() -> Run:
    """A run that is going, and some that are over."""
    values = {"pipeline": uuid.UUID(int=1), "pipeline_name": "p", "node": uuid.UUID(int=2), "node_name": "n"}
    values |= {"scheduled_at": timezone.now(), "started_at": timezone.now()}
    Run.objects.bulk_create([Run(uuid=uuid.uuid4(), state="succeeded", **values) for _ in range(2000)])
    run = Run.objects.create(uuid=uuid.uuid4(), state="running", **values)
    StepRun.objects.create(run=run, index=0, position=0, task=1, task_name="t", kind="shell", state="running")
    return run


def write(run: Run, stop: threading.Event) -> None:
    """A line a second."""
    number = offset = 0
    while not stop.wait(1):
        line = f"line {number}\n".encode()
        Output.objects.create(run=run.uuid, index=0, number=number, offset=offset, data=line)
        number, offset = number + 1, offset + len(line)
    connection.close()


class Followers:
    """All of them, and what they saw."""

    def __init__(self, base: str, cookies: httpx.Cookies, run: Run) -> None:
        self._address = f"{base}/admin/logs/run/{run.uuid}"
        self._cookies = cookies
        self._stop = threading.Event()
        self._threads = [threading.Thread(target=self._follow, daemon=True) for _ in range(FOLLOWERS)]
        self.streamed = self.polled = 0

    def start(self) -> None:
        for thread in self._threads:
            thread.start()

    def stop(self) -> None:
        self._stop.set()
        for thread in self._threads:
            thread.join(20)

    def _follow(self) -> None:
        with httpx.Client(cookies=self._cookies, timeout=30) as client:
            try:
                with client.stream("GET", f"{self._address}/stream/", params={"cursor": 0}) as reply:
                    if reply.status_code == 200:
                        self.streamed += 1
                        for _line in reply.iter_lines():
                            if self._stop.is_set():
                                return
            except httpx.HTTPError:
                pass
            self.polled += 1
            cursor = 0
            while not self._stop.wait(POLL):
                with suppress(httpx.HTTPError):
                    cursor = client.get(f"{self._address}/poll/", params={"cursor": cursor}).json()["cursor"]


def times(client: httpx.Client, address: str, number: int) -> float:
    """The median, in milliseconds."""
    taken = []
    for _ in range(number):
        start = time.perf_counter()
        assert client.get(address).status_code == 200
        taken.append((time.perf_counter() - start) * 1e3)
    return median(taken)


def main() -> None:
    """Reads the command line and measures."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--quick", action="store_true", help="each page four times, soon after all have come")
    quick = parser.parse_args().quick
    call_command("migrate", verbosity=0, interactive=False)
    get_user_model().objects.create_superuser("bench", password=PASSWORD)
    run = running()
    connection.close()
    stop = threading.Event()
    writer = threading.Thread(target=write, args=(run, stop), daemon=True)
    writer.start()
    pages = {"dashboard": "/admin/", "runs": "/admin/logs/run/", "API, runs": "/api/v1/runs/"}
    with web(PASSWORD) as (base, client):
        number = 4 if quick else TIMES
        alone = {name: times(client, address, number) for name, address in pages.items()}
        followers = Followers(base, client.cookies, run)
        followers.start()
        time.sleep(4 if quick else 10)
        for name, address in pages.items():
            value = times(client, address, number)
            say(f"{name}, with {FOLLOWERS} followers", value, "ms", "without", alone[name] / value)
        say("followers with a stream", followers.streamed, "followers", "all", followers.streamed / FOLLOWERS)
        stop.set()
        followers.stop()
    writer.join()


if __name__ == "__main__":
    main()
