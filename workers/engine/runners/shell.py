"""Shell tasks: a script, an interpreter, a session of its own, and nothing left of it when it is ended."""

import asyncio
import os
import shlex
import shutil
import signal
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import Protocol

from workers.engine.context import parse_outputs
from workers.engine.output import StepOutput
from workers.engine.reaper import Reaper
from workers.engine.runners.accounts import Accounts, Refusal
from workers.engine.runners.base import Job, Outcome, failed
from workers.engine.runners.spawn import SCRIPT, Program, Spawner

OUTPUTS_LIMIT = 64 * 1024
"""Bytes read of the file in ``$ECTS_OUTPUT``."""


class Guarding(Protocol):
    """Who ends a run's processes when this worker dies."""

    def register(self, run: str) -> None:
        """From now on, and before the first process of it exists."""
        ...

    def release(self, run: str) -> None:
        """As often as ``register``."""
        ...


class ShellRunner:
    """Runs scripts. ``scratch`` is a directory of the worker's own, for the files in ``$ECTS_OUTPUT``."""

    default_timeout = 0.0

    def __init__(self, *, accounts: Accounts, reaper: Reaper, guard: Guarding, scratch: Path) -> None:
        self._accounts = accounts
        self._reaper = reaper
        self._guard = guard
        self._spawner = Spawner()
        self._scratch = scratch
        self._ending: set[asyncio.Task[None]] = set()
        scratch.mkdir(parents=True, exist_ok=True)
        # Passable, so that another user's step reaches the file that is its own; not readable.
        scratch.chmod(0o711)

    async def run(self, job: Job, output: StepOutput) -> Outcome:
        """One start of the script. Cancelled: the whole tree is dead before CancelledError comes out."""
        outputs_file = self._scratch / f"{job.run}-{job.index}"
        self._guard.register(job.run)
        try:
            program = await self._start(job, output, outputs_file)
            try:
                code = await self._ended(job, program)
            finally:
                await program.close()
            return _outcome(code, outputs_file)
        except Refusal as refusal:
            return failed(str(refusal))
        finally:
            with suppress(FileNotFoundError):
                outputs_file.unlink()
            self._guard.release(job.run)

    def close(self) -> None:
        """Frees what was opened."""
        self._spawner.close()

    async def _start(self, job: Job, output: StepOutput, outputs_file: Path) -> Program:
        environment = {
            **self._accounts.base(job.user),
            **job.environment,
            "ECTS_OUTPUT": str(outputs_file),
        }
        directory = _directory(job.directory, environment["HOME"])
        interpreter = _interpreter(job.task.interpreter, environment, directory)
        command = self._accounts.command(job.user, [*interpreter, SCRIPT])
        if owner := self._accounts.owner(job.user):
            _hand_over(outputs_file, owner)
        # A form in a browser sends its line ends as CR LF; no shell takes those.
        script = job.task.content.replace("\r\n", "\n").encode("utf-8", "surrogateescape")
        try:
            return await self._spawner.start(
                command, script=script, directory=directory, environment=environment, output=output
            )
        except (OSError, ValueError) as error:
            raise Refusal(_why_not_started(error, directory, command[0])) from error

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


def _directory(directory: str, home: str) -> str:
    """Where the script starts: where the step says, else at home as under cron."""
    if directory:
        return directory
    return home if os.path.isdir(home) else "/"


def _interpreter(text: str, environment: Mapping[str, str], directory: str) -> list[str]:
    try:
        words = shlex.split(text) or ["/bin/sh"]
    except ValueError as error:
        raise Refusal(f"The interpreter {text!r} cannot be read as a command: {error}.") from None
    place = os.path.join(directory, words[0]) if os.sep in words[0] else words[0]
    found = shutil.which(place, path=environment.get("PATH"))
    if found is None:
        raise Refusal(
            f"There is no interpreter {words[0]} that can be executed on this node: install it, or change the task's."
        )
    return [found, *words[1:]]


def _hand_over(path: Path, owner: tuple[int, int]) -> None:
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    os.fchown(descriptor, *owner)
    os.close(descriptor)


def _why_not_started(error: OSError | ValueError, directory: str, program: str) -> str:
    if isinstance(error, ValueError):
        return f"The step cannot be started: {error} in a variable or argument."
    if error.filename == directory:
        if isinstance(error, FileNotFoundError):
            return f"There is no directory {directory} on this node: create it, or change the step's directory."
        return f"The directory {directory} cannot be entered: {error.strerror}."
    return f"{program} could not be started: {error.strerror}."


def _outcome(code: int, outputs_file: Path) -> Outcome:
    outputs, note = _read_outputs(outputs_file)
    if code == 0:
        return Outcome(state="succeeded", exit_code=0, outputs=outputs, reason=note)
    reason = " ".join(filter(None, [_exit_sentence(code), note]))
    return Outcome(state="failed", exit_code=code, outputs=outputs, reason=reason)


def _exit_sentence(code: int) -> str:
    if code > 0:
        return f"It ended with exit code {code}."
    try:
        return f"It was ended by {signal.Signals(-code).name}."
    except ValueError:
        return f"It was ended by signal {-code}."


def _read_outputs(path: Path) -> tuple[dict[str, str], str]:
    """The values that the step gave, and a sentence if some could not be taken."""
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK)
    except OSError:
        return {}, ""
    try:
        data = os.read(descriptor, OUTPUTS_LIMIT + 1)
    except OSError:
        return {}, "What is at $ECTS_OUTPUT is no file."
    finally:
        os.close(descriptor)
    if len(data) > OUTPUTS_LIMIT:
        data = data[: data.rfind(b"\n", 0, OUTPUTS_LIMIT) + 1]
        too_much = f"Of $ECTS_OUTPUT only the first {OUTPUTS_LIMIT} bytes count."
    else:
        too_much = ""
    outputs, ignored = parse_outputs(data)
    bad = f"{ignored} lines of $ECTS_OUTPUT were ignored: they are not name=value, or the name is reserved."
    return outputs, " ".join(filter(None, [too_much, bad if ignored else ""]))
