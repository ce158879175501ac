"""Masters as processes of their own: one leads, another takes over, what etcd has lost comes back, and they stop."""

import re
import shutil
import signal
import sqlite3
import subprocess
import sys
import time
import uuid
from collections.abc import Callable, Iterator
from contextlib import ExitStack, closing
from pathlib import Path

import pytest

from coordination.etcd import SyncEtcd
from coordination.fires import decode_epoch
from coordination.gateway import Delete, EtcdSettings, Put
from coordination.keys import Keys
from tests import etcd_server
from tests.etcd_server import EtcdServer, wait_until
from tests.site.processes import environment, kill, manage, running, wait_for_line

KEYS = Keys()


class House:
    """An etcd of its own, a migrated database, and masters that resync only when they have a reason."""

    def __init__(self, directory: Path, etcd: EtcdServer, stack: ExitStack) -> None:
        self.directory = directory
        self.etcd = etcd
        self.gateway = SyncEtcd(EtcdSettings(endpoints=(etcd.endpoint,)))
        self._stack = stack
        self._settings = {
            "ECTS_ETCD_ENDPOINTS": etcd.endpoint,
            "ECTS_RESYNC_SECONDS": "3600",
            "ECTS_LOG_LEVEL": "DEBUG",
        }
        migrated = manage(directory, "migrate", **self._settings)
        assert migrated.returncode == 0, migrated.stderr

    def master(self, name: str, *options: str, **settings: str) -> subprocess.Popen[bytes]:
        command = [sys.executable, "manage.py", "runmaster", *options]
        env = environment(self.directory, **(self._settings | settings))
        return self._stack.enter_context(running(self.log(name), command, env))

    def log(self, name: str) -> Path:
        return self.directory / f"{name}.log"

    def holds(self, key: str) -> bool:
        return self.gateway.get(key) is not None

    def seen(self, name: str) -> int:
        """The last revision of etcd that a master has told of; it may write itself meanwhile."""
        return max(map(int, re.findall(r"etcd is at revision (\d+)\n", self.log(name).read_text())), default=0)

    def leads(self, name: str, times: int = 1) -> None:
        wait_until(lambda: self.log(name).read_text().count("leading\n") >= times, f"{name} leads")


@pytest.fixture
def house(tmp_path: Path) -> Iterator[House]:
    with ExitStack() as stack:
        etcd = stack.enter_context(etcd_server.running(tmp_path / "etcd"))
        it = House(tmp_path, etcd, stack)
        yield it
        it.gateway.close()


def _has(house: House, *keys: str) -> Callable[[], bool]:
    return lambda: all(map(house.holds, keys))


def test_one_leads_and_another_takes_over(house: House) -> None:
    first = house.master("first")
    house.leads("first")
    wait_until(_has(house, KEYS.config(), KEYS.epoch()), "settings and epoch are in etcd")
    [present] = house.gateway.snapshot(KEYS.nodes()).items
    assert b'"mode":"master"' in present.value

    second = house.master("second")
    wait_until(lambda: house.log("second").exists() and second.poll() is None, "the second has begun")
    first.send_signal(signal.SIGTERM)
    assert first.wait(120) == 0
    house.leads("second")

    third = house.master("third")
    kill(second)
    house.leads("third")
    assert third.poll() is None


def test_the_original_system_s_flags(house: House) -> None:
    """A node made in the console beforehand becomes this master; etcd and the prefix are those of the command line."""
    [database] = house.directory.rglob("ects.sqlite3")
    node, keys = uuid.uuid4(), Keys("/elsewhere")
    made = manage(
        house.directory, "shell", "-c", f"from workers.models import Node; Node(id='{node}', name='m').save()"
    )
    assert made.returncode == 0, made.stderr
    said = ["--node", str(node), "--name", "ignored", "--desc", "in the cellar", "--host", "console", "--port", "80"]
    where = ["--etcd", house.etcd.endpoint, "--config", "/elsewhere/config"]
    house.master("one", *said, *where, ECTS_ETCD_ENDPOINTS="127.0.0.1:1")
    wait_until(_has(house, keys.node(str(node)), keys.epoch()), "it is there")

    def row() -> tuple[str, str, str, int, int]:
        with sqlite3.connect(database) as connection:
            [found] = connection.execute("SELECT name, mode, host, port, online FROM workers_node")
        return tuple(found)

    wait_until(lambda: row() == ("m", "master", "console", 80, 1), "the console shows it")
    second = str(uuid.uuid4())
    house.master("two", "--node", second, "--name", "two", "--desc", "below", *where, ECTS_ETCD_ENDPOINTS="127.0.0.1:1")

    def described() -> bool:
        with sqlite3.connect(database) as connection:
            rows = connection.execute("SELECT name, description FROM workers_node WHERE mode = 'master'").fetchall()
        return ("two", "below") in rows

    wait_until(described, "the second is shown with what it said")


def test_what_etcd_has_lost_comes_back_at_once(house: House) -> None:
    house.master("one")
    wait_until(_has(house, KEYS.config(), KEYS.epoch()), "settings and epoch are in etcd")
    before = house.gateway.get(KEYS.epoch())
    house.etcd.kill()
    house.etcd.wipe()
    house.etcd.start()
    wait_until(_has(house, KEYS.config(), KEYS.epoch()), "settings and a new epoch are in etcd")
    assert house.gateway.get(KEYS.epoch()).value != before.value


def _stays_gone(house: House, key: str) -> bool:
    """Deletes a key; whether it is still absent after a second, in which every relay has had its turn."""
    house.gateway.transact([], [Delete(key)])
    deadline = time.monotonic() + 1
    while time.monotonic() < deadline:
        if house.holds(key):
            return False
    return True


def test_an_etcd_that_went_back_is_noticed(house: House) -> None:
    data, copy = house.directory / "etcd" / "data", house.directory / "copy"
    house.master("one")
    wait_until(_has(house, KEYS.config(), KEYS.epoch()), "settings and epoch are in etcd")
    # The first resync may be under way still, and would put the settings back.
    wait_until(lambda: _stays_gone(house, KEYS.config()), "nothing puts the settings back")
    house.etcd.kill()
    shutil.copytree(data, copy)
    house.etcd.start()
    # A master that was without etcd for longer than its lease leads anew, and publishes the settings.
    wait_until(lambda: _stays_gone(house, KEYS.config()), "nothing puts the settings back")
    epoch = house.gateway.get(KEYS.epoch())
    last = house.gateway.transact([], [Put("/elsewhere", b"later")]).revision
    wait_until(lambda: house.seen("one") >= last, "the master has seen that")
    assert not house.holds(KEYS.config()), "it is published again for another reason"
    house.etcd.kill()
    shutil.rmtree(data)
    copy.rename(data)
    house.etcd.start()
    wait_for_line(house.log("one"), "etcd has lost what it held")
    wait_until(_has(house, KEYS.config()), "the settings are back")
    assert house.gateway.get(KEYS.epoch()).value != epoch.value, "what was claimed since then is not known any more"


def test_an_epoch_in_which_a_worker_saw_etcd_go_back_is_replaced(house: House) -> None:
    house.master("one")
    wait_until(_has(house, KEYS.epoch()), "there is an epoch")
    epoch = house.gateway.get(KEYS.epoch())
    report = (
        f"from workers.models import Node; Node.objects.create(name='n', void_epoch={decode_epoch(epoch.value).id})"
    )
    assert manage(house.directory, "shell", "-c", report).returncode == 0
    wait_until(lambda: house.gateway.get(KEYS.epoch()).value != epoch.value, "a new epoch has begun")
    assert not decode_epoch(house.gateway.get(KEYS.epoch()).value).first, "its claims have to wait"


def test_a_database_that_fails_takes_a_line_of_the_log_for_each_duty(house: House) -> None:
    house.master("one")
    house.leads("one")
    with closing(sqlite3.connect(house.directory / "ects.sqlite3")) as database:
        database.execute("ALTER TABLE pipelines_publication RENAME TO elsewhere")
    wait_for_line(house.log("one"), "relay: the database: no such table")
    assert "Traceback" not in house.log("one").read_text()


def test_it_stops_although_the_database_is_locked(house: House) -> None:
    database = sqlite3.connect(house.directory / "ects.sqlite3", isolation_level=None)
    database.execute("BEGIN IMMEDIATE")
    try:
        master = house.master("one")
        house.leads("one")
        master.send_signal(signal.SIGTERM)
        master.wait(60)
    finally:
        database.close()
