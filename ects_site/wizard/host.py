"""The process in the terminal: prints the wizard's address, waits until it is done, and becomes ``single``."""

import getpass
import os
import secrets
import signal
import socket
import subprocess
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from select import select
from typing import Any, NoReturn

from django.conf import settings

from ects_site import installation, listening
from ects_site.environment import env
from ects_site.listening import LOOPBACK
from ects_site.single import CannotStart, sole_owner
from ects_site.supervisor import python
from ects_site.wizard import wire_home

LIFE = 3600.0
"""Seconds without a visit after which the wizard ends."""

FAREWELL = 5.0
"""Seconds that a browser has to see that the set-up is done, before the console takes over."""

STOPS_WITHIN = 15.0
"""Seconds for the web process to finish what it is at."""

Write = Callable[[str], Any]


def run(write: Write, *, force: bool) -> None:
    """After the set-up this process goes on as ``single``; it returns when it was stopped between the two.

    Raises installation.Refused when nothing came of it, listening.CannotListen.
    """
    installation.check_is_free(force=force)
    signal.signal(signal.SIGTERM, _interrupt)
    with _alone():
        listeners = listening.listen(_bind(), settings.ECTS_PORT)
        token = secrets.token_urlsafe(32)
        _announce(write, token)
        said = _serve(listeners, token, force=force)
    if said == STOPPED_AFTERWARDS:
        write("Ended. The installation is set up: manage.py single starts it.")
        return
    if said in REASONS:
        raise installation.Refused(REASONS[said])
    write("The installation is set up; ECTS starts.")
    _become_single(listeners, with_example=said == wire_home.DONE_WITH_EXAMPLE)


@contextmanager
def _alone() -> Iterator[None]:
    try:
        with sole_owner(settings.DATA_DIR):
            yield
    except CannotStart:
        raise installation.Refused(
            f"ECTS, or another wizard, is running on {settings.DATA_DIR}: stop it first, or set another ECTS_DATA_DIR"
        ) from None


IDLE, BROKEN, STOPPED, STOPPED_AFTERWARDS = b"idle", b"broken", b"stopped", b"stopped afterwards"
REASONS = {
    STOPPED: "Ended; nothing is changed.",
    IDLE: f"Nobody has used the wizard for {LIFE / 60:.0f} minutes: it ends, and nothing is changed. Run it again.",
    BROKEN: "The wizard's web process has ended, see above; nothing is kept of what was typed. Run it again.",
}


def _bind() -> str:
    """The wizard speaks plain HTTP, so it keeps to this machine, unless it is told otherwise here and now."""
    return LOOPBACK if "ECTS_BIND" in settings.FROM_SETTINGS_FILE else env.str("ECTS_BIND", default=LOOPBACK)


def _announce(write: Write, token: str) -> None:
    port, path = settings.ECTS_PORT, f"/setup/?token={token}"
    lines = [
        "Set ECTS up in a browser on this machine. The address works once, in the browser that opens it first:",
        "",
        f"  http://{LOOPBACK}:{port}{path}",
        "",
        "From another machine, come through SSH, since this is plain HTTP; then open the same address there:",
        "",
        f"  ssh -L {port}:{LOOPBACK}:{port} {getpass.getuser()}@{socket.gethostname()}",
        "",
        "Nothing is kept before the last page. Stop with Ctrl-C.",
    ]
    if _bind() != LOOPBACK:
        host = socket.gethostname() if _bind() in (listening.EVERYWHERE, "::") else _bind()
        lines += [
            "",
            f"ECTS_BIND={_bind()}: it can be reached at http://{host}:{port}{path} too. Passwords that are typed there",
            "can be read on the way.",
        ]
    write("\n".join(lines))


def _serve(listeners: Sequence[socket.socket], token: str, *, force: bool) -> bytes:
    """Runs the web process until it is done, or for one of REASONS."""
    ear, mouth = os.pipe()
    process = subprocess.Popen(
        ["setpriv", "--pdeathsig", "TERM", "--", *_gunicorn(listeners)],
        env=_clean_environment()
        | {wire_home.TOKEN: token, wire_home.DESCRIPTOR: str(mouth), wire_home.FORCE: str(int(force))},
        stdin=subprocess.DEVNULL,
        pass_fds=[mouth, *(sock.fileno() for sock in listeners)],
        # Ctrl-C goes to this process alone, which stops that one.
        start_new_session=True,
    )
    os.close(mouth)
    said = _listen(ear)
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, signal.SIG_IGN)
    process.terminate()
    try:
        process.wait(STOPS_WITHIN)
    except subprocess.TimeoutExpired:
        os.killpg(process.pid, signal.SIGKILL)
        process.wait()
    # From here on as a stop is meant for what follows.
    signal.signal(signal.SIGINT, signal.default_int_handler)
    signal.signal(signal.SIGTERM, signal.SIG_DFL)
    return STOPPED_AFTERWARDS if said == STOPPED and _is_done(ear) else said


def _is_done(ear: int) -> bool:
    """Whether the set-up was at its last step when it was stopped, and came through."""
    os.set_blocking(ear, False)
    with suppress(BlockingIOError):
        return any(word in os.read(ear, 1 << 16) for word in (wire_home.DONE, wire_home.DONE_WITH_EXAMPLE))
    return False


def _gunicorn(listeners: Sequence[socket.socket]) -> list[str]:
    """One process, since what is typed is in its memory only; threads, since tests take their time."""
    return python(
        *("-m", "gunicorn", "ects_site.wizard.wsgi:application", "--chdir", str(settings.BASE_DIR)),
        *(*listening.options(listeners), "--worker-class", "gthread", "--workers", "1", "--threads", "8"),
        *("--timeout", "60", "--graceful-timeout", "5", "--keep-alive", "5", "--no-control-socket"),
        *("--log-level", "warning", "--logger-class", "ects_site.web_log.Logger"),
    )


def _listen(ear: int) -> bytes:
    """What becomes of the wizard. A second start means that the first has died, and what was typed with it."""
    starts, patience, said = 0, LIFE, b""
    try:
        while True:
            if not _is_heard(ear, patience):
                return said or IDLE
            word = os.read(ear, 1)
            starts += word == wire_home.STARTED
            if word in (wire_home.DONE, wire_home.DONE_WITH_EXAMPLE):
                said, patience = word, FAREWELL
            elif said and word in (wire_home.SEEN, b""):
                return said
            elif not word or starts > 1:
                return BROKEN
    except KeyboardInterrupt:
        return STOPPED_AFTERWARDS if said else STOPPED


def _is_heard(ear: int, patience: float) -> bool:
    """Whether there is a word within so many seconds. A signal that comes just before it waits ends the waiting, too,
    which a handler alone does not (signal.set_wakeup_fd)."""
    wake, alarm = os.pipe2(os.O_NONBLOCK)
    before = signal.set_wakeup_fd(alarm)
    try:
        # A signal's handler has run, and has raised, by the time that this returns.
        return bool(select([ear, wake], [], [], patience)[0])
    finally:
        signal.set_wakeup_fd(before)
        os.close(wake)
        os.close(alarm)


def _become_single(listeners: Sequence[socket.socket], *, with_example: bool) -> NoReturn:
    """With the new settings, on the sockets where the browser waits."""
    for sock in listeners:
        sock.set_inheritable(True)
    words = [word for sock in listeners for word in ("--listener", str(sock.fileno()))]
    command = python(str(settings.BASE_DIR / "manage.py"), "single", *words, *(["--example"] if with_example else []))
    sys.stdout.flush()
    os.execve(sys.executable, command, _clean_environment())  # noqa: S606 - that is the hand-over


def _clean_environment() -> dict[str, str]:
    """As this process was started with, without what the settings file has added to it."""
    return {name: value for name, value in os.environ.items() if name not in settings.FROM_SETTINGS_FILE}


def _interrupt(number: int, frame: object) -> None:
    raise KeyboardInterrupt
