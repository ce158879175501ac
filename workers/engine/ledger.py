"""The states of one run, written before they count."""

from typing import Protocol

from coordination.records import CutRecord, OutputRecord, RunRecord, StepRecord


class Sink(Protocol):
    """Where records become durable: the journal."""

    async def state(self, *records: RunRecord | StepRecord) -> None:
        """Returns when the records are durable, all of them or none."""
        ...

    async def output(self, record: OutputRecord | CutRecord) -> None:
        """Takes a piece of output; returns when there is room for the next."""
        ...


class Ledger:
    """Writes a run's records in order, several in one go where nothing depends on the earlier ones yet."""

    def __init__(self, sink: Sink) -> None:
        self._sink = sink
        self._pending: list[RunRecord | StepRecord] = []

    def add(self, *records: RunRecord | StepRecord) -> None:
        """To be written together with the next that are committed."""
        self._pending += records

    async def commit(self, *records: RunRecord | StepRecord) -> None:
        """Returns when these, and what was added before, are durable."""
        records = (*self._pending, *records)
        self._pending = []
        if records:
            await self._sink.state(*records)
