"""What can be done to the console's side, and to all at once. Each harms, waits for so many seconds, and mends."""

import random
import time
from datetime import UTC, datetime, timedelta

from tests.faults.facts import Trouble
from tests.faults.parts import Part
from tests.faults.stage import Stage


def database(stage: Stage, chance: random.Random, seconds: float) -> None:
    """Killed, or stopped."""
    _put_out(stage.database, chance, seconds)
    stage.wait_ready()


def web(stage: Stage, chance: random.Random, seconds: float) -> None:
    """Killed, or stopped."""
    _put_out(stage.web, chance, seconds)
    stage.wait_ready()


def _put_out(part: Part, chance: random.Random, seconds: float) -> None:
    begin, end = chance.choice([(part.kill, part.start), (part.pause, part.resume)])
    begin()
    time.sleep(seconds)
    end()


def masters(stage: Stage, chance: random.Random, seconds: float) -> None:
    """The leader stands still, or is cut off, for longer than its lease; then there are two who think that they
    lead."""
    cut, restore = stage.network.cut, stage.network.restore
    leader = stage.leading_master()
    harms = (leader.pause, leader.resume), (lambda: cut(leader.host), lambda: restore(leader.host))
    begin, end = chance.choice(harms)
    begin()
    time.sleep(seconds)
    assert stage.leading_master() is not leader, "nobody has taken over from the master"
    end()


def restart(stage: Stage, chance: random.Random, seconds: float) -> None:
    """SIGKILL to everything, and all of it starts again in any order."""
    since = datetime.now(UTC)
    parts = [*(worker.part for worker in stage.workers), *stage.masters, stage.web, stage.database]
    for part in chance.sample(parts, len(parts)):
        part.kill()
    for server in stage.etcd:
        server.kill()
    time.sleep(seconds)
    for server in stage.etcd:
        server.launch()
    for part in chance.sample(parts, len(parts)):
        part.start()
    for server in stage.etcd:
        server.wait_healthy()
    stage.wait_ready()
    stage.wait_workers()
    stage.troubles.append(Trouble("", since, datetime.now(UTC) + timedelta(seconds=5)))
