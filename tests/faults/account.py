"""What truly ran, as the jobs themselves write it down: one file for each node, whatever the ledger says later."""

import time
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Literal

Exclusive = Literal["no", "fire", "pipeline"]
"""What no two jobs may do at once: run the same fire, or run the pipeline at all."""

_TELL = """tell() {{
    read -r up rest </proc/uptime
    echo "$1 $ECTS_PIPELINE $ECTS_SCHEDULED_AT $ECTS_RUN_ID $ECTS_ATTEMPT $ECTS_NODE ${{ECTS_FENCE:-0}} $up" \\
        >>"{lines}/$ECTS_NODE"
}}
"""

# The kernel holds the lock for as long as any process of the job lives, and not a moment longer.
_LOCK = """exec 9>>"{locks}/{name}"
flock --nonblock 9 || tell clash
"""

# One that gets away from its job's session and parent, as daemons do.
_ESCAPE = """(setsid sh -c 'held=0; while [ -e "$0" ] && [ $held -lt 600 ]; do sleep 0.1; held=$((held + 1)); done' \\
    "{hold}" &)
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
    """The files that the jobs append to, and the locks that they hold. ``directory`` exists.

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
        self._lines.mkdir(exist_ok=True)
        script = _TELL.format(lines=self._lines)
        if exclusive != "no":
            self._locks.mkdir(exist_ok=True)
            script += _LOCK.format(locks=self._locks, name=_LOCK_NAMES[exclusive])
        script += "tell begin\n"
        if seconds:
            script += f"sleep {seconds:g}\n"
        if held:
            script += (_ESCAPE + _WORK).format(hold=self.hold)
        return script + "tell end\n"

    def file(self, node: str) -> Path:
        """Where the jobs of this node write. A line ``boot WALL UPTIME`` comes first where a node has a kernel of its
        own: only /proc/uptime is told by jobs, since nobody can set it."""
        self._lines.mkdir(exist_ok=True)
        return self._lines / node

    def executions(self) -> list[Begun]:
        """All that ever began, in their order. Raises ValueError for what no job can have written."""
        found: list[Begun] = []
        for path in self._lines.iterdir() if self._lines.exists() else ():
            found += self._read(path)
        return sorted(found, key=lambda begun: begun.began)

    def _read(self, path: Path) -> list[Begun]:
        booted = self._booted
        clashes = set()
        going: dict[str, Begun] = {}
        found: list[Begun] = []
        for line in path.read_text().splitlines():
            word, *rest = line.split()
            if word == "boot":
                booted = datetime.fromtimestamp(float(rest[0]) - float(rest[1]), UTC)
                continue
            pipeline, at, run, attempt, node, fence, up = rest
            moment = booted + timedelta(seconds=float(up))
            if word == "clash":
                clashes.add(run)
            elif word == "begin":
                instant = datetime.fromisoformat(at)
                begun = Begun(pipeline, instant, run, int(attempt), node, int(fence), moment, clashed=run in clashes)
                clashes.discard(run)
                found.append(begun)
                going[run] = begun
            elif word == "end":
                going[run].ended = moment
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
