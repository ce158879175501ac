"""What truly ran, as the jobs themselves write it down: in one file, whatever the ledger says later."""

import time
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Literal

Exclusive = Literal["no", "fire", "pipeline"]
"""What no two jobs may do at once: run the same fire, or run the pipeline at all."""

_TELL = """tell() {{
    read -r up rest </proc/uptime
    echo "$1 $ECTS_PIPELINE $ECTS_SCHEDULED_AT $ECTS_RUN_ID $ECTS_ATTEMPT $ECTS_NODE ${{ECTS_FENCE:-0}} $up" >>"{lines}"
}}
"""

# The kernel holds the lock for as long as any process of the job lives, and not a moment longer.
_LOCK = """exec 9>>"{locks}/{name}"
flock --nonblock 9 || tell clash
"""

# A bound, should nobody let it go.
_WORK = """held=0
while [ -e "{hold}" ] && [ $held -lt 600 ]; do sleep 0.1; held=$((held + 1)); done
"""

_LOCK_NAMES = {"fire": "$ECTS_PIPELINE.$ECTS_SCHEDULED_AT", "pipeline": "$ECTS_PIPELINE"}


@dataclass(slots=True)
class Begun:
    """One execution. ``began`` and ``ended`` on the wall clock, in hundredths; ``ended`` None: it did not come to its
    end. ``clashed``: another job that excludes it was alive when it began."""

    pipeline: str
    instant: datetime
    run: str
    attempt: int
    node: str
    fence: int
    began: datetime
    ended: datetime | None = None
    clashed: bool = False


@dataclass(slots=True)
class Account:
    """The file that the jobs append to, and the locks that they hold. ``directory`` exists.

    While the file ``hold`` exists, held jobs do not end.
    """

    directory: Path
    _booted: datetime = field(default_factory=lambda: _wall_at_boot())

    @property
    def hold(self) -> Path:
        """Make it, and later delete it."""
        return self.directory / "hold"

    def script(self, seconds: float, exclusive: Exclusive, held: bool = False) -> str:
        """The content of a shell task that takes so long."""
        script = _TELL.format(lines=self._lines)
        if exclusive != "no":
            self._locks.mkdir(exist_ok=True)
            script += _LOCK.format(locks=self._locks, name=_LOCK_NAMES[exclusive])
        script += "tell begin\n"
        if seconds:
            script += f"sleep {seconds:g}\n"
        if held:
            script += _WORK.format(hold=self.hold)
        return script + "tell end\n"

    def executions(self) -> list[Begun]:
        """All that ever began, in their order. Raises ValueError for what no job can have written."""
        found: list[Begun] = []
        clashes = set()
        going: dict[tuple[str, str], Begun] = {}
        for line in self._lines.read_text().splitlines() if self._lines.exists() else ():
            word, pipeline, at, run, attempt, node, fence, up = line.split()
            moment = self._booted + timedelta(seconds=float(up))
            name = (run, node)
            if word == "clash":
                clashes.add(name)
            elif word == "begin":
                instant = datetime.fromisoformat(at)
                begun = Begun(pipeline, instant, run, int(attempt), node, int(fence), moment, clashed=name in clashes)
                clashes.discard(name)
                found.append(begun)
                going[name] = begun
            elif word == "end":
                going[name].ended = moment
            else:
                raise ValueError(f"not a line of a job: {line}")
        return found

    @property
    def _lines(self) -> Path:
        return self.directory / "account"

    @property
    def _locks(self) -> Path:
        return self.directory / "locks"


def _wall_at_boot() -> datetime:
    """The wall clock at second 0 of /proc/uptime, as if it had never been set since."""
    return datetime.fromtimestamp(time.time() - time.clock_gettime(time.CLOCK_BOOTTIME), UTC)
