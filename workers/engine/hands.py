"""Everything with which a worker does its tasks, built once."""

from collections.abc import Mapping
from pathlib import Path

from workers.engine.clock import Clock
from workers.engine.output import Flusher
from workers.engine.reaper import DEFAULT_GRACE, Reaper
from workers.engine.runners.accounts import Accounts
from workers.engine.runners.base import Runner
from workers.engine.runners.http import Clients, HookRunner, HttpRunner
from workers.engine.runners.mail import MailRunner
from workers.engine.runners.shell import Guarding, ShellRunner


class Hands:
    """A ``RunnerSet``: the four kinds of task, and the end of what they started.

    ``scratch`` is a directory of the worker's own, ``environ`` its own environment (of which steps get next to
    nothing), ``grace`` the seconds between SIGTERM and SIGKILL.
    """

    def __init__(
        self,
        *,
        clock: Clock,
        scratch: Path,
        environ: Mapping[str, str],
        guard: Guarding,
        grace: float = DEFAULT_GRACE,
    ) -> None:
        self.flusher = Flusher(clock)
        self.reaper = Reaper(clock, grace)
        self._shell = ShellRunner(accounts=Accounts(environ), reaper=self.reaper, guard=guard, scratch=scratch)
        self._mail = MailRunner(clock)
        clients = Clients()
        self._runners: dict[str, Runner] = {
            "shell": self._shell,
            "http": HttpRunner(clients),
            "hook": HookRunner(clients, clock),
            "mail": self._mail,
        }

    def of(self, kind: str) -> Runner:
        """The runner for this kind of task."""
        return self._runners[kind]

    async def sweep(self, run: str) -> list[int]:
        """Ends every process that is left of a run; returns the pids of those that would not die."""
        return (await self.reaper.end_run(run)).left

    def hurry(self, run: str) -> None:
        """The grace that this run's processes have to end is over now."""
        self.reaper.hurry(run)

    def forget(self, run: str) -> None:
        """This run is over."""
        self.reaper.forget(run)

    async def close(self) -> None:
        """Frees what was opened. Every execution must have ended."""
        await self.flusher.close()
        await self._shell.close()
        self.reaper.close()
        self._mail.close()
