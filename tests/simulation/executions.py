"""What really ran, seen from outside the system, and the guards that end it."""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime

from tests.simulation.world import World

SESSION_LOST = "its session is lost"


@dataclass(eq=False)
class Execution:
    """One execution. ``right_end``: when its right to run ended, or its process, whichever came first."""

    pipeline: str
    instant: datetime
    attempt: int
    node: str
    run: str
    fence: int
    start: float
    ends_at: float
    session: str
    right_end: float | None = None
    ended: Callable[[str, str], None] | None = None

    @property
    def is_going(self) -> bool:
        return self.right_end is None


class Guard:
    """The small process beside a worker: it holds the deadline of each session and kills what outlives it.

    It is stopped only by a stop of the whole host.
    """

    def __init__(self, world: World, history: list[Execution]) -> None:
        self._world = world
        self._history = history
        self.going: list[Execution] = []
        self.deadlines: dict[str, float] = {}
        self.frozen = False

    def extend(self, session: str, deadline: float) -> None:
        """The worker says that a session's keep-alive was answered."""
        self.deadlines[session] = max(deadline, self.deadlines.get(session, 0.0))

    def start(self, execution: Execution) -> bool:
        """The shell's check just before exec; False when the right to run is over."""
        if self._world.now >= self.deadlines.get(execution.session, 0.0):
            return False
        self.going.append(execution)
        self._history.append(execution)
        self._world.trace("exec", execution.node, execution.run, execution.attempt, execution.fence)
        self._world.at(execution.ends_at, self._look, execution)
        self._world.at(self.deadlines[execution.session], self._look, execution)
        return True

    def move(self, run: str, session: str) -> None:
        """The run belongs to another session now."""
        for execution in self.going:
            if execution.run == run:
                execution.session = session

    def has_right(self, instant: datetime, attempt: int) -> bool:
        """This attempt runs here, and may."""
        return any(
            (entry.instant, entry.attempt) == (instant, attempt)
            and self._world.now < self.deadlines.get(entry.session, 0.0)
            for entry in self.going
        )

    def has_ended(self, instant: datetime, attempt: int) -> bool:
        """This attempt ran, and is over."""
        ran = [entry for entry in self._history if (entry.instant, entry.attempt) == (instant, attempt)]
        return bool(ran) and not any(entry in self.going for entry in ran)

    def kill(self, run: str, reason: str) -> None:
        """The worker's own wish."""
        for execution in [entry for entry in self.going if entry.run == run]:
            self._end(execution, "killed", reason)

    def kill_all(self) -> None:
        """The worker is dead: its end of the pipe is closed."""
        for execution in list(self.going):
            execution.ended = None
            self._end(execution, "killed", "the worker died")

    def _look(self, execution: Execution) -> None:
        if execution not in self.going:
            return
        if self.frozen:
            self._world.after(0.5, self._look, execution)
            return
        deadline = self.deadlines.get(execution.session, 0.0)
        if self._world.now >= deadline:
            self._end(execution, "killed", SESSION_LOST)
        elif self._world.now >= execution.ends_at:
            self._end(execution, "succeeded", "")
        else:
            self._world.at(min(execution.ends_at, deadline), self._look, execution)

    def _end(self, execution: Execution, state: str, reason: str) -> None:
        self.going.remove(execution)
        # A host that was stopped as a whole runs on past the deadline for a moment when it wakes: the named residual.
        execution.right_end = min(self._world.now, self.deadlines.get(execution.session, 0.0))
        self._world.trace("end", execution.node, execution.run, state)
        if execution.ended is not None:
            execution.ended(state, reason)
