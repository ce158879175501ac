"""The faults, each with what may follow from it and what never may. A strike does harm, waits, and mends it."""

import random
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

from tests.faults import console_strikes, etcd_strikes, loads, worker_strikes
from tests.faults.stage import SESSION_TTL, Stage
from workers.engine.plan import LATE

Strike = Callable[[Stage, random.Random, float], None]
"""Harms a stage for so many seconds; returns when what was harmed is well again."""

Range = tuple[float, float]


PAST_LEASE: Range = (SESSION_TTL + 2, SESSION_TTL + 8)

DIED = ("the worker was not running", "the worker stopped .*", "the node that ran it was lost")
STOOD_STILL = ("its right to run was over: .*", "the node that ran it was lost")
SHARED_AWAY = ("etcd could not be reached", *STOOD_STILL)

DATA_LOST = ("coordination data lost", "etcd had lost its data .*")
JOURNAL = "this worker's journal could not be written"


@dataclass(frozen=True)
class Scenario:
    """``expects`` says what may follow, in words; ``reasons`` are the patterns of what the ledger may then say.

    ``lasts``: seconds of one strike. ``etcd``: the sizes of the cluster that it is tried on.
    """

    name: str
    expects: str
    strike: Strike
    lasts: Range
    reasons: tuple[str, ...] = ()
    etcd: tuple[int, ...] = (3,)
    load: loads.Load = loads.light


def together(name: str, parts: Sequence[Scenario]) -> Scenario:
    """All of them at once, for as long as the longest needs."""

    def strike(stage: Stage, chance: random.Random, seconds: float) -> None:
        # Each from a source of its own: threads do not come in the same order every time.
        chances = [random.Random(chance.random()) for _ in parts]
        with ThreadPoolExecutor(len(parts)) as pool:
            strikes = [
                pool.submit(part.strike, stage, own, own.uniform(*part.lasts))
                for part, own in zip(parts, chances, strict=True)
            ]
            for each in strikes:
                each.result()

    reasons = tuple(dict.fromkeys(reason for part in parts for reason in part.reasons))
    return Scenario(name, " ".join(part.expects for part in parts), strike, (0, 0), reasons)


def _storm(stage: Stage, chance: random.Random, seconds: float) -> None:
    """Some of the others at once, from among those that do not stand in each other's way."""
    chosen = [BY_NAME[name] for names in STORM for name in chance.sample(names, chance.randint(0, 1))]
    together("storm", chosen or [BY_NAME["worker-killed"]]).strike(stage, chance, seconds)


STORM = (
    ("worker-killed", "worker-stopped", "disk-full"),
    ("worker-cut", "worker-deaf", "worker-mute"),
    ("power-lost", "clock-ahead", "clock-behind"),
    ("etcd-leader-killed", "etcd-down", "etcd-hangs", "etcd-slow", "etcd-wiped"),
    ("database-down", "web-down"),
    ("two-masters",),
)

SCENARIOS = [
    Scenario(
        "worker-killed",
        "SIGKILL to a worker. It may miss the fires of its own while it is down (the worker was not running) and lose "
        "what it was running; shared fires move to others. Its jobs, with their daemons, are dead within 3 s.",
        worker_strikes.kill,
        (0.5, 5),
        DIED,
    ),
    Scenario(
        "power-lost",
        "A worker's machine loses power, under a kernel of its own. As when the worker is killed.",
        worker_strikes.lose_power,
        (0.5, 5),
        DIED,
    ),
    Scenario(
        "worker-stopped",
        "SIGSTOP to a worker for longer than its lease. Nothing is missed: its own fires run late, shared ones are "
        "taken over once its right to run has ended, and only after its own job was killed for that.",
        worker_strikes.stop,
        PAST_LEASE,
        STOOD_STILL,
    ),
    Scenario(
        "worker-cut",
        "No packet passes between a worker and all others. It goes on firing its own; others take over the shared.",
        worker_strikes.cut("both"),
        PAST_LEASE,
        SHARED_AWAY,
    ),
    Scenario(
        "worker-deaf",
        "Nothing arrives at a worker; what it sends does arrive. As if it were cut off.",
        worker_strikes.cut("in"),
        PAST_LEASE,
        SHARED_AWAY,
    ),
    Scenario(
        "worker-mute",
        "Nothing that a worker sends arrives anywhere. As if it were cut off.",
        worker_strikes.cut("out"),
        PAST_LEASE,
        SHARED_AWAY,
    ),
    Scenario(
        "disk-full",
        "Not a byte fits on a worker's disk. It goes on firing its own, holds the records and delivers them; it claims "
        "nothing shared that it has no room to write down.",
        worker_strikes.fill_disk,
        (5, 15),
        (JOURNAL,),
    ),
    Scenario(
        "clock-ahead",
        "A worker's clock is set 60 s ahead, and back. Its own fires of that minute run at once, early by the true "
        "time, each once, but for those that are late by more than the grace (60 s) then; it claims nothing shared "
        "meanwhile.",
        worker_strikes.set_clock(60),
        (3, 8),
        (LATE,),
    ),
    Scenario(
        "clock-behind",
        "A worker's clock is set back by 60 s, and ahead again. Its own fires wait and then run late, each once; it "
        "claims nothing shared meanwhile.",
        worker_strikes.set_clock(-60),
        (3, 8),
    ),
    Scenario(
        "etcd-leader-killed",
        "SIGKILL to the etcd node that leads. Nothing is missed.",
        etcd_strikes.kill_leader,
        (2, 10),
    ),
    Scenario(
        "etcd-down",
        "All of etcd is killed. What each node fires by itself goes on; shared fires wait, and what was running is "
        "ended when its right to run ends. A pipeline made meanwhile is published as soon as there is an etcd.",
        etcd_strikes.down,
        (5, 20),
        SHARED_AWAY,
        (1, 3),
    ),
    Scenario(
        "etcd-hangs",
        "All of etcd stands still (SIGSTOP), its sockets accept. As when it is down.",
        etcd_strikes.hang,
        (5, 20),
        SHARED_AWAY,
        (1, 3),
    ),
    Scenario(
        "etcd-slow",
        "Each write to the disks of etcd takes 0.3 s. Nothing is missed; shared fires are late by that.",
        etcd_strikes.slow,
        (10, 15),
        STOOD_STILL,
        (1, 3),
    ),
    Scenario(
        "etcd-compacted",
        "etcd forgets its past while a worker is cut off: its watches cannot be resumed. It takes a new snapshot and "
        "has missed no change.",
        etcd_strikes.compact,
        PAST_LEASE,
        SHARED_AWAY,
        (1, 3),
    ),
    Scenario(
        "etcd-wiped",
        "etcd loses all it held. What each node fires by itself goes on; shared fires wait until the new epoch has "
        "settled (32 s), the older ones are missed (coordination data lost). Nothing runs twice.",
        etcd_strikes.wipe,
        (1, 3),
        (*SHARED_AWAY, *DATA_LOST),
        (1, 3),
    ),
    Scenario(
        "database-down",
        "MariaDB is killed, or stands still. All goes on; what happened is delivered afterwards.",
        console_strikes.database,
        (5, 15),
    ),
    Scenario(
        "web-down",
        "The console's web process is killed, or stands still. As with the database.",
        console_strikes.web,
        (5, 15),
    ),
    Scenario(
        "two-masters",
        "The leading master stands still, or is cut off, past its lease; the other leads; then the first wakes up. "
        "Nothing is missed, and no row is written twice.",
        console_strikes.masters,
        (8, 12),
    ),
    Scenario(
        "all-restarted",
        "SIGKILL to everything at once; all starts again in any order. Fires of that time are missed (the worker was "
        "not running), what was running is lost.",
        console_strikes.restart,
        (0.5, 3),
        (*DIED, *SHARED_AWAY),
        (1, 3),
    ),
    Scenario(
        "storm",
        "70 pipelines, 50 of them on one worker each second, and faults of all kinds at random, several at a time.",
        _storm,
        (0, 0),
        (*DIED, *SHARED_AWAY, *DATA_LOST, JOURNAL, LATE),
        load=loads.heavy,
    ),
]
BY_NAME = {scenario.name: scenario for scenario in SCENARIOS}
