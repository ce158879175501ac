"""Shell tasks: a script, an interpreter, a session of its own, and nothing left of it when it is ended."""

import asyncio
import os
import re
import shlex
import shutil
import signal
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Protocol

from workers.engine.clock import Clock
from workers.engine.output import StepOutput
from workers.engine.reaper import Reaper
from workers.engine.runners.accounts import Account, Accounts, Refusal
from workers.engine.runners.base import Job, Outcome, failed
from workers.engine.runners.confinement import Confinement, Confiner
from workers.engine.runners.outputs_file import OutputsFile, OutputsFiles
from workers.engine.runners.spawn import SCRIPT, Program, Spawner

_PLAIN = re.compile(r"\s*/[\w./+-]+(?:[ \t]+[\w./:,@%+=-]+)*\s*", re.ASCII)
"""A script that is one command by its full path, and in which nothing means anything to a shell. It is executed as it
stands, as make does (GNU make, job.c): the start of a shell costs as much as that of the command. Whatever cannot be
executed is left to the shell and its error messages: a program that is not there, a script without a first line."""


_SHELLS = frozenset({"sh", "dash", "bash", "ash", "ksh", "zsh"})
"""They take a script as an argument (POSIX, sh, -c). It spares a tenth of the price of a start."""

LONGEST = 64 * 1024
"""Bytes of such an argument; Linux takes twice as much (execve(2))."""


class Guarding(Protocol):
    """Who ends a run's processes when this worker dies."""

    def register(self, run: str) -> None:
        """From now on, and before the first process of it exists."""
        ...

    def flush(self) -> None:
        """It knows of all that were registered."""
        ...

    def release(self, run: str) -> None:
        """As often as ``register``."""
        ...


@dataclass(frozen=True, slots=True)
class _Terms:
    """On which a try is started: as whom, and within what."""

    account: Account
    confinement: Confinement

    def before(self) -> tuple[str, ...]:
        """What goes before the command. Limits are set by the worker's user, who may; the rest by the step's."""
        return (*self.confinement.outer, *self.account.prefix, *self.confinement.inner)


class ShellRunner:
    """Runs scripts. ``scratch`` is a directory of the worker's own, for the files in ``$ECTS_OUTPUT``."""

    default_timeout = 0.0

    def __init__(
        self,
        *,
        clock: Clock,
        accounts: Accounts,
        confiner: Confiner,
        reaper: Reaper,
        guard: Guarding,
        scratch: Path,
    ) -> None:
        self._accounts = accounts
        self._confiner = confiner
        self._reaper = reaper
        self._guard = guard
        self._spawner = Spawner(clock.now, before=guard.flush)
        self._outputs_files = OutputsFiles(scratch)
        self._ending: set[asyncio.Task[None]] = set()

    async def run(self, job: Job, output: StepOutput) -> Outcome:
        """One start of the script. Cancelled: the whole tree is dead before CancelledError comes out."""
        self._guard.register(job.run)
        try:
            name = f"{job.run}-{job.index}"
            account = self._accounts.of(job.user, job.group)
            confinement = self._confiner.confine(job.limits, name)
            given = self._outputs_files.new(name, account.owner)
            try:
                code = await self._do(job, _Terms(account, confinement), output, given)
                return _outcome(code, given, confinement.why_ended(code))
            finally:
                given.remove()
                await confinement.close()
        except Refusal as refusal:
            return failed(str(refusal))
        finally:
            self._guard.release(job.run)

    async def close(self) -> None:
        """Frees what was opened, after the last kill has come to its end."""
        await asyncio.gather(*self._ending, return_exceptions=True)
        self._spawner.close()
        self._outputs_files.close()

    async def _do(self, job: Job, terms: _Terms, output: StepOutput, given: OutputsFile) -> int:
        program = await self._start(job, terms, output, given)
        job.begun(program.started_at)
        try:
            return await self._ended(job, program)
        finally:
            await program.close()

    async def _start(self, job: Job, terms: _Terms, output: StepOutput, given: OutputsFile) -> Program:
        environment = {
            **terms.account.variables,
            **job.environment,
            "ECTS_OUTPUT": given.path,
        }
        # Where the step says, else at home as under cron, if there is one.
        home = environment["HOME"]
        try:
            return await self._start_in(job.directory or home, job, terms, environment, output)
        except _NoDirectory as refusal:
            if job.directory or home == "/":
                raise
            try:
                return await self._start_in("/", job, terms, environment, output)
            except _NoDirectory:
                raise refusal from None

    async def _start_in(
        self, directory: str, job: Job, terms: _Terms, environment: dict[str, str], output: StepOutput
    ) -> Program:
        fence = job.context.spec.fence
        before = [*terms.before(), *(fence.check() if fence else ())]
        interpreter = _interpreter(job.task.interpreter, environment, directory, is_checked=bool(before))
        # A form in a browser sends its line ends as CR LF; no shell takes those.
        script = job.task.content.replace("\r\n", "\n")
        if not before and interpreter == ["/bin/sh"] and _PLAIN.fullmatch(script):
            # PWD is what the shell would have set.
            with suppress(OSError, ValueError):
                return await self._spawner.start(
                    script.split(), directory=directory, environment={**environment, "PWD": directory}, output=output
                )
        text = script.encode("utf-8", "surrogateescape")
        by_argument = not job.secrets and len(text) <= LONGEST and os.path.basename(interpreter[0]) in _SHELLS
        command = [*before, *interpreter, *(("-c", script) if by_argument else (SCRIPT,))]
        try:
            return await self._spawner.start(
                command, script=text, directory=directory, environment=environment, output=output
            )
        except (OSError, ValueError) as error:
            raise _not_started(error, directory, command[0], is_interpreter=not before) from error

    async def _ended(self, job: Job, program: Program) -> int:
        try:
            return await program.wait()
        except asyncio.CancelledError:
            # A second cancellation must not leave the tree half killed.
            ending = asyncio.create_task(self._reaper.end_step(job.run, job.index, program.pid))
            self._ending.add(ending)
            ending.add_done_callback(self._ending.discard)
            await asyncio.shield(ending)
            raise


class _NoDirectory(Refusal):
    """The directory is not there."""


def _interpreter(text: str, environment: Mapping[str, str], directory: str, *, is_checked: bool) -> list[str]:
    """The command before the script. Not ``is_checked``: the start itself will show whether it can be executed."""
    try:
        program, *arguments = _words(text)
    except ValueError as error:
        raise Refusal(f"The interpreter {text!r} cannot be read as a command: {error}.") from None
    found: str | None = os.path.join(directory, program)
    if os.sep not in program:
        found = shutil.which(program, path=environment.get("PATH"))
    if found is None or (is_checked and not os.access(found, os.X_OK)):
        raise _no_interpreter(program)
    return [found, *arguments]


def _no_interpreter(program: str) -> Refusal:
    return Refusal(
        f"There is no interpreter {program} that can be executed on this node: install it, or change the task's."
    )


@lru_cache(maxsize=256)
def _words(text: str) -> tuple[str, ...]:
    return tuple(shlex.split(text)) or ("/bin/sh",)


def _not_started(error: OSError | ValueError, directory: str, program: str, *, is_interpreter: bool) -> Refusal:
    if isinstance(error, ValueError):
        return Refusal(f"The step cannot be started: {error} in a variable or argument.")
    if error.filename == directory:
        if isinstance(error, FileNotFoundError):
            return _NoDirectory(
                f"There is no directory {directory} on this node: create it, or change the step's directory."
            )
        return Refusal(f"The directory {directory} cannot be entered: {error.strerror}.")
    if is_interpreter and isinstance(error, FileNotFoundError | PermissionError):
        return _no_interpreter(program)
    return Refusal(f"{program} could not be started: {error.strerror}.")


def _outcome(code: int, given: OutputsFile, limit: str) -> Outcome:
    outputs, note = given.read()
    if code == 0:
        return Outcome(state="succeeded", exit_code=0, outputs=outputs, reason=note)
    reason = " ".join(filter(None, [limit or _exit_sentence(code), note]))
    return Outcome(state="failed", exit_code=code, outputs=outputs, reason=reason)


def _exit_sentence(code: int) -> str:
    if code > 0:
        return f"It ended with exit code {code}."
    try:
        return f"It was ended by {signal.Signals(-code).name}."
    except ValueError:
        return f"It was ended by signal {-code}."
