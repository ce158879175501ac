"""Bench of publishing: from saving a definition to the event at the worker's watch, beside a bare put into etcd.

Prints one JSON object a line: {"figure", "value", "unit", "against", "ratio"}. The ratio is the bare put's time
divided by ours, measured in turns within one run against the same private etcd; SQLite holds the definitions.
"""

import argparse
import asyncio
import json
import os
import sys
import tempfile
import threading
from collections.abc import Callable
from contextlib import aclosing
from pathlib import Path
from statistics import median
from time import perf_counter

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

import django

from tests.etcd_server import EtcdServer

DIRECTORY = tempfile.TemporaryDirectory()
SERVER = EtcdServer(Path(DIRECTORY.name) / "etcd")
os.environ |= {
    "DJANGO_SETTINGS_MODULE": "ects_site.settings",
    "ECTS_DATA_DIR": DIRECTORY.name,
    "ECTS_DATABASE_URL": f"sqlite:///{DIRECTORY.name}/ects.sqlite3",
    "ECTS_ETCD_ENDPOINTS": SERVER.endpoint,
    "ECTS_LOG_LEVEL": "ERROR",
}
django.setup()

from django.contrib.auth.models import User  # noqa: E402 - the settings come first
from django.core.management import call_command  # noqa: E402
from django.db import transaction  # noqa: E402
from django.test import Client  # noqa: E402
from django.urls import reverse  # noqa: E402

from coordination.gateway import Put  # noqa: E402
from pipelines import publishing  # noqa: E402
from tasks.models import Task  # noqa: E402
from tests.pipelines import makers  # noqa: E402
from workers import store  # noqa: E402

TIMEOUT = 60.0
"""Seconds within which an event has to come."""

MARKER = f"{store.keys().prefix}/bench"


class Watch:
    """A worker's watch, in a thread of its own."""

    def __init__(self) -> None:
        self._seen = threading.Condition()
        self._events: list[str] = []
        self._ready = threading.Event()
        threading.Thread(target=lambda: asyncio.run(self._follow()), daemon=True).start()
        assert self._ready.wait(TIMEOUT)

    def seconds(self, act: Callable[[], object], events: int = 1) -> float:
        """From the beginning of ``act`` until so many events have come."""
        with self._seen:
            self._events.clear()
        begin = perf_counter()
        act()
        with self._seen:
            assert self._seen.wait_for(lambda: len(self._events) >= events, TIMEOUT), "events are missing"
        return perf_counter() - begin

    def settle(self) -> None:
        """Waits until everything that was written before has come."""
        put(b"")
        with self._seen:
            assert self._seen.wait_for(lambda: bool(self._events) and self._events[-1] == MARKER, TIMEOUT)

    async def _follow(self) -> None:
        gateway = store.async_gateway()
        prefix = store.keys().prefix + "/"
        revision = (await gateway.snapshot(prefix)).revision
        async with aclosing(gateway.watch(prefix, revision + 1)) as batches:  # type: ignore[type-var]
            self._ready.set()
            async for batch in batches:
                with self._seen:
                    self._events += [event.item.key for event in batch.events]
                    self._seen.notify_all()


def put(value: bytes) -> None:
    """The bare write that ours are measured against."""
    store.sync_gateway().transact([], [Put(MARKER, value)])


def say(figure: str, ours: list[float], bare: list[float], against: str) -> None:
    """One line; medians in milliseconds."""
    value, other = median(ours) * 1000, median(bare) * 1000
    line = {
        "figure": figure,
        "value": round(value, 2),
        "unit": "ms",
        "against": against,
        "ratio": round(other / value, 3),
    }
    print(json.dumps(line), flush=True)


def one_document(watch: Watch, turns: int) -> None:
    """A task of one pipeline on one node, saved by itself and by the admin's form."""
    node, task = makers.node(), makers.task(content="echo 0")
    pipeline = makers.pipeline(tasks=[task], nodes=[node])
    document = store.sync_gateway().get(store.keys().pipeline(str(node.pk), str(pipeline.pk))).value
    browser = Client()
    browser.force_login(User.objects.create_superuser("admin"))
    bare, saved, posted = [], [], []
    for number in range(turns + 1):
        watch.settle()
        bare.append(watch.seconds(lambda: put(document)))
        saved.append(watch.seconds(lambda: save(task, f"echo {number}.")))  # noqa: B023 - called at once
        posted.append(watch.seconds(lambda: post(browser, task, f"echo {number}:")))  # noqa: B023
    say("save to the worker's watch", saved[1:], bare[1:], "a bare put of the same document")
    say("save in the admin to the worker's watch", posted[1:], bare[1:], "a bare put of the same document")


def save(task: Task, content: str) -> None:
    """The model alone; the relay runs after the commit."""
    task.content = content
    task.save()


def post(browser: Client, task: Task, content: str) -> None:
    """The whole request."""
    form = {"name": task.name, "kind": "shell", "interpreter": "/bin/sh", "method": "GET", "content": content}
    reply = browser.post(reverse("admin:tasks_task_change", args=[task.pk]), form)
    assert reply.status_code == 302, reply.content


def many_documents(watch: Watch, pipelines: int, nodes: int) -> None:
    """A task that is used in many pipelines on many nodes."""
    shared, many = makers.task("shared"), [makers.node(f"node-{number}") for number in range(nodes)]
    with transaction.atomic():
        for number in range(pipelines):
            makers.pipeline(f"pipeline-{number}", tasks=[shared], nodes=many)
    publishing.relay_pending(TIMEOUT)
    watch.settle()
    count = pipelines * nodes

    def edit() -> None:
        save(shared, shared.content + "\n:")
        while publishing.relay_pending(TIMEOUT):
            pass

    ours = [watch.seconds(edit, count) / count for _ in range(3)]
    bare = [watch.seconds(lambda: [put(bytes(1000)) for _ in range(count)], count) / count for _ in range(3)]
    say(f"a task in {pipelines} pipelines on {nodes} nodes, each document", ours, bare, "bare puts, one by one")


def main() -> None:
    """Everything; ``--quick`` with fewer turns."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--quick", action="store_true", help="fewer turns")
    quick = parser.parse_args().quick
    try:
        SERVER.start()
        call_command("migrate", verbosity=0)
        watch = Watch()
        one_document(watch, 10 if quick else 100)
        many_documents(watch, 5 if quick else 30, 5 if quick else 20)
    finally:
        SERVER.stop()


if __name__ == "__main__":
    main()
