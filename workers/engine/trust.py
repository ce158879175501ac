"""Whom this worker believes: the console's signing keys, which it follows when they are replaced."""

import asyncio
import logging
from collections.abc import Callable
from pathlib import Path

from coordination import trust
from coordination.crypto import Refused
from coordination.trust import Notice
from workers.engine.identity import Identity, change

log = logging.getLogger(__name__)


class Trust:
    """The keys of one node, kept in its identity. ``on_learned`` is told when there are others: what was refused for
    its key may be good now."""

    def __init__(self, identity: Identity, state_dir: Path, on_learned: Callable[[], None]) -> None:
        self.keys = dict(identity.verify_keys)
        """Keys that count, by id."""
        self.former = dict(identity.former_keys)
        """Keys that counted once."""
        self._generation = identity.trust_generation
        self._state_dir = state_dir
        self._on_learned = on_learned
        self._trouble = ""

    def incidents(self) -> tuple[str, ...]:
        """Why the console's keys cannot be followed."""
        return (self._trouble,) if self._trouble else ()

    async def learn(self, notice: Notice) -> None:
        """Takes what the console tells, if it comes from a key that this node trusts; durable when it returns."""
        try:
            statement = trust.read(notice, self.keys, self._generation)
        except Refused as error:
            self._refuse(error)
            return
        former = {name: key for name, key in (self.former | self.keys).items() if name not in statement.by_id}
        await asyncio.to_thread(
            change,
            self._state_dir,
            verify_keys=statement.by_id,
            former_keys=former,
            trust_generation=statement.generation,
        )
        log.info("the console's signing keys are now %s", ", ".join(statement.by_id))
        _become(self.keys, statement.by_id)
        _become(self.former, former)
        self._generation, self._trouble = statement.generation, ""
        self._on_learned()

    def _refuse(self, error: Refused) -> None:
        trouble = f"the console names signing keys that this node cannot believe: {error}; enrol the node again"
        if trouble != self._trouble:
            log.error("%s", trouble)
        self._trouble = trouble


def _become(mapping: dict[str, bytes], wanted: dict[str, bytes]) -> None:
    """In place, for others hold it."""
    mapping.clear()
    mapping.update(wanted)
