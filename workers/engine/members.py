"""Which nodes are alive, as their presence keys say."""

import logging
from collections.abc import Callable, Sequence

from msgspec import DecodeError

from coordination import documents
from coordination.gateway import Event, KeyValue
from coordination.keys import Keys
from workers.engine.placement import Member, member
from workers.engine.standing import Standing

log = logging.getLogger(__name__)


class Members:
    """Follower of ``/ects/nodes/``. ``on_change`` is called when another ranking may follow."""

    def __init__(self, keys: Keys, standing: Standing, on_change: Callable[[], None]) -> None:
        self._keys = keys
        self._standing = standing
        self._on_change = on_change

    async def snapshot(self, items: Sequence[KeyValue]) -> None:
        """All that are alive."""
        found: dict[str, Member] = {}
        for item in items:
            self._read(item, found)
        self._set(found)

    async def events(self, events: Sequence[Event]) -> None:
        """Who came, left or changed."""
        found = dict(self._standing.members or {})
        for event in events:
            if event.kind == "put":
                self._read(event.item, found)
            else:
                found.pop(event.item.key.rpartition("/")[2], None)
        self._set(found)

    def _read(self, item: KeyValue, found: dict[str, Member]) -> None:
        try:
            found[self._keys.parse_node(item.key)] = member(documents.decode_presence(item.value))
        except (ValueError, DecodeError) as error:
            log.warning("%s is no presence: %s", item.key, error)

    def _set(self, found: dict[str, Member]) -> None:
        if found != self._standing.members:
            self._standing.members = found
            self._on_change()
