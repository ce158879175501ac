"""Everything with which a worker does its tasks, built once."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from workers.engine.clock import Clock
from workers.engine.ondemand import Deferred
from workers.engine.output import Flusher
from workers.engine.reaper import DEFAULT_GRACE, Reaper
from workers.engine.runners.accounts import Accounts
from workers.engine.runners.base import Runner
from workers.engine.runners.cgroups import Groups
from workers.engine.runners.confinement import Confiner
from workers.engine.runners.shell import Guarding, ShellRunner


class Hands:
    """A ``RunnerSet``: the four kinds of task, and the end of what they started.

    ``scratch`` is a directory of the worker's own, ``environ`` its own environment (of which steps get next to
    nothing), ``grace`` the seconds between SIGTERM and SIGKILL, ``groups`` the control groups that it may use.
    """

    def __init__(
        self,
        *,
        clock: Clock,
        scratch: Path,
        environ: Mapping[str, str],
        guard: Guarding,
        grace: float = DEFAULT_GRACE,
        groups: Groups | None = None,
    ) -> None:
        self.flusher = Flusher(clock)
        self.reaper = Reaper(clock, grace)
        accounts = Accounts(environ)
        confiner = Confiner(accounts.path, groups)
        self._shell = ShellRunner(
            clock=clock, accounts=accounts, confiner=confiner, reaper=self.reaper, guard=guard, scratch=scratch
        )
        self._clock = clock
        self._clients: Any = None
        self._mail: Any = None
        self._runners: dict[str, Runner] = {
            "shell": self._shell,
            "http": Deferred("workers.engine.runners.http", self._make_http, clock),
            "hook": Deferred("workers.engine.runners.http", self._make_hook, clock),
            "mail": Deferred("workers.engine.runners.mail", self._make_mail, clock),
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
        if self._mail is not None:
            self._mail.close()

    def _make_http(self, module: Any) -> Runner:
        runner: Runner = module.HttpRunner(self._shared_clients(module))
        return runner

    def _make_hook(self, module: Any) -> Runner:
        runner: Runner = module.HookRunner(self._shared_clients(module), self._clock)
        return runner

    def _make_mail(self, module: Any) -> Runner:
        self._mail = module.MailRunner(self._clock)
        runner: Runner = self._mail
        return runner

    def _shared_clients(self, module: Any) -> Any:
        """Of both kinds of request: they hold the TLS contexts."""
        self._clients = self._clients or module.Clients()
        return self._clients
