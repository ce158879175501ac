"""What a start owes to the life before."""

from collections.abc import Collection
from pathlib import Path

import pytest

from coordination.records import RunRecord
from tests.journal.test_journal import delivered, reopened, run
from workers.engine.clock import SystemClock
from workers.engine.recovery import recover

pytestmark = pytest.mark.anyio


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"


async def test_survivors_of_many_runs_are_hunted_together(tmp_path: Path) -> None:
    """One after the other takes longer than a cluster waits: there may be thousands."""
    journal = await reopened(tmp_path / "journal.db")
    names = [f"run-{number}" for number in range(450)]
    await journal.state(*map(run, names))
    await journal.close()
    journal = await reopened(tmp_path / "journal.db")
    hunted: list[set[str]] = []

    async def kill(runs: Collection[str]) -> int:
        hunted.append(set(runs))
        assert not [record for record in await delivered(journal) if _has_ended(record)], "they are dead before"
        return 7

    assert await recover(journal, kill, SystemClock()) == len(names)
    assert hunted == [set(names)]
    ended = {record.run: record for record in await delivered(journal) if _has_ended(record)}
    assert ended.keys() == set(names)
    assert {record.state for record in ended.values()} == {"missed"}, "none of them had started"
    await journal.close()
    journal = await reopened(tmp_path / "journal.db")
    assert await recover(journal, kill, SystemClock()) == 0
    await journal.close()


def _has_ended(record: object) -> bool:
    return isinstance(record, RunRecord) and record.state != "running"
