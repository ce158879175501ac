"""A wall clock that was ahead and is set back: what was decided meanwhile must not be decided again, which is said."""

import logging
from collections.abc import Callable
from datetime import UTC, datetime

from workers.engine.clock import Clock

log = logging.getLogger(__name__)

WORDS = (
    "this node's clock was ahead and was set back: fires up to %s were decided meanwhile (see the ledger) and are not "
    "fired again"
)
"""What is told until then."""


class SetBack:
    """``decided_until`` tells what is decided although it is still to come, as ``Plan`` does."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        # The first look is at what an earlier life may have decided.
        self._seen_at = datetime.max.replace(tzinfo=UTC)
        self._until: datetime | None = None

    def look(self, now: datetime, decided_until: Callable[[datetime], datetime | None]) -> None:
        """Before each round of fires."""
        if now < self._seen_at:
            self._until = decided_until(now)
            if self._until is not None:
                log.error("%s", WORDS % self._until.isoformat(timespec="seconds"))
        self._seen_at = now

    def incidents(self) -> tuple[str, ...]:
        """The sentence, while it is true."""
        if self._until is None or self._clock.now() >= self._until:
            return ()
        return (WORDS % self._until.isoformat(timespec="seconds"),)
