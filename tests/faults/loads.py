"""The pipelines that fire while a stage is harmed."""

import random
from collections.abc import Callable

from tests.faults.facts import Pipeline
from tests.faults.stage import Stage, Wish

Load = Callable[[Stage, random.Random], list[Pipeline]]


def light(stage: Stage, chance: random.Random) -> list[Pipeline]:
    """One pipeline of each kind."""
    return stage.pipelines(
        (
            Wish(placement="every", takes=0.3),
            Wish(),
            Wish(placement="one_sticky", on_node_loss="rerun", overlap="skip", period=2, takes=3),
            Wish(on_node_loss="rerun", period=5, held=True),
            Wish(period=5, held=True),
        )
    )


def heavy(stage: Stage, chance: random.Random) -> list[Pipeline]:
    """Many shared pipelines of any kind, and many that fire each second on one worker."""
    shared = [
        Wish(
            period=chance.choice([1, 1, 1, 2, 5]),
            takes=chance.choice([0, 0, 0.5, 2, 8]),
            placement=chance.choice(["one_sticky", "one_spread"]),
            on_node_loss=chance.choice(["rerun", "abandon"]),
            overlap=chance.choice(["allow", "skip"]),
        )
        for _ in range(20)
    ]
    alone = [Wish(placement="every")] * 50
    return stage.pipelines(shared) + stage.pipelines(alone, stage.workers[:1])
