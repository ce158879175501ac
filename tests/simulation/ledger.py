"""The ledger: rows as ingest and master write them, and how one replaces another."""

from dataclasses import dataclass
from datetime import datetime

from coordination.records import RunRecord
from tests.simulation.world import World

AGAINST = frozenset({"skipped", "missed"})


@dataclass(frozen=True)
class Row:
    record: RunRecord
    node: str
    provisional: bool = False


class Ledger:
    """Rows by run id."""

    def __init__(self, world: World) -> None:
        self._world = world
        self.rows: dict[str, Row] = {}
        self.stored: dict[str, set[tuple[datetime, int]]] = {}

    def ingest(self, node: str, record: RunRecord) -> None:
        """A worker's own word. Two nodes that speak of the same run contradict each other."""
        old = self.rows.get(record.run)
        if old is not None and not old.provisional and old.node != node:
            self._world.violate(f"{node} says {record.state} of what {old.node} called {old.record.state}: {record}")
        self._put(Row(record, node))

    def provide(self, record: RunRecord) -> None:
        """The master's word: only where there is none, or where a worker left a run unfinished."""
        old = self.rows.get(record.run)
        if old is None or (old.record.state == "running" and record.state == "lost"):
            self._put(Row(record, old.node if old else "", provisional=True))
        self._note(record)

    def _put(self, row: Row) -> None:
        self._world.trace("row", row.node, row.record.run, row.record.state, row.record.reason)
        self.rows[row.record.run] = row
        self._note(row.record)

    def _note(self, record: RunRecord) -> None:
        if record.state != "running":
            self.stored.setdefault(record.pipeline, set()).add((record.scheduled_at, record.attempt))
