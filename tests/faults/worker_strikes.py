"""What can be done to a worker. Each harms one, waits for so many seconds, and mends it."""

import random
import time
from collections.abc import Callable
from datetime import UTC, datetime, timedelta

from tests.faults.facts import Trouble
from tests.faults.guest import Guest
from tests.faults.hosts import Way
from tests.faults.stage import Stage

CLOCKS_DIFFER = timedelta(seconds=0.5)
"""What is known of a guest's clock: it is read while the machine is busy."""

Strike = Callable[[Stage, random.Random, float], None]


def kill(stage: Stage, chance: random.Random, seconds: float) -> None:
    """SIGKILL; its jobs have to die with it."""
    with stage.victim(chance, guest=False) as worker:
        worker.part.kill()
        stage.expect_no_jobs_of(worker)
        time.sleep(seconds)
        worker.part.start()


def lose_power(stage: Stage, chance: random.Random, seconds: float) -> None:
    """Its machine is off."""
    with stage.victim(chance, guest=True) as worker:
        worker.part.kill()
        time.sleep(seconds)
        worker.part.start()


def stop(stage: Stage, chance: random.Random, seconds: float) -> None:
    """SIGSTOP."""
    with stage.victim(chance, guest=False) as worker:
        worker.part.pause()
        time.sleep(seconds)
        worker.part.resume()


def cut(way: Way) -> Strike:
    """Packets are lost on this way."""

    def strike(stage: Stage, chance: random.Random, seconds: float) -> None:
        with stage.victim(chance) as worker:
            stage.network.cut(worker.host, way)
            time.sleep(seconds)
            stage.network.restore(worker.host)

    return strike


def fill_disk(stage: Stage, chance: random.Random, seconds: float) -> None:
    """Its disk is full."""
    with stage.victim(chance, guest=False) as worker:
        worker.fill_disk()
        time.sleep(seconds)
        worker.empty_disk()


def set_clock(by: float) -> Strike:
    """Its clock is set by so many seconds, and back."""

    def strike(stage: Stage, chance: random.Random, seconds: float) -> None:
        with stage.victim(chance, guest=True) as worker:
            assert isinstance(worker.part, Guest)
            since = datetime.now(UTC) - CLOCKS_DIFFER
            worker.part.set_clock(by)
            time.sleep(seconds)
            worker.part.set_clock(-by)
            # What was decided ahead of time has passed only then.
            stage.troubles.append(Trouble(worker.node, since, datetime.now(UTC) + timedelta(seconds=max(by, 0) + 5)))

    return strike
