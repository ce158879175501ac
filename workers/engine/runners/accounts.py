"""Whose environment a program gets, and how it becomes that user."""

import grp
import os
import pwd
import shutil
from collections.abc import Mapping
from dataclasses import dataclass

DEFAULT_PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"

_KEPT = ("PATH", "LANG", "LC_ALL", "TZ")
"""Of the worker's own environment, this much is passed on to steps; anything else could be its secret."""


class Refusal(Exception):
    """The program cannot be started like this. The message is the sentence for the step."""


@dataclass(frozen=True, slots=True)
class Account:
    """A user that steps run as.

    ``variables`` are PATH, HOME, LANG, USER, LOGNAME; ``prefix`` goes before a command that is to run as this user;
    ``owner`` is its user and group id when that is not the worker's own user.
    """

    variables: Mapping[str, str]
    prefix: tuple[str, ...] = ()
    owner: tuple[int, int] | None = None


class Accounts:
    """The users of this machine. ``environ`` is the worker's own environment."""

    def __init__(self, environ: Mapping[str, str]) -> None:
        kept = {name: environ[name] for name in _KEPT if name in environ}
        self._common = {"PATH": DEFAULT_PATH, "LANG": "C.UTF-8", **kept}
        self._setpriv = shutil.which("setpriv", path=self._common["PATH"])
        self._uid = os.getuid()
        self._own = Account(self._variables(_entry_of(self._uid)))

    @property
    def path(self) -> str:
        """Where programs are looked for."""
        return self._common["PATH"]

    def of(self, user: str, group: str = "") -> Account:
        """The account named ``user``, or the worker's own when that is empty; with ``group`` as its group, unless that
        is empty. Raises Refusal."""
        if not user and not group:
            return self._own
        entry = _entry_of(self._uid) if not user else _named(user)
        gid = _gid(group) if group else entry.pw_gid
        if entry.pw_uid == self._uid and (not group or gid == os.getgid()):
            return self._own
        return Account(self._variables(entry), self._prefix(entry, gid, group), (entry.pw_uid, gid))

    def _prefix(self, entry: pwd.struct_passwd, gid: int, group: str) -> tuple[str, ...]:
        """A new user of its own accord would need preexec_fn, which forks: util-linux's setpriv does it after exec."""
        if self._uid != 0:
            wanted = f"with the group {group}" if entry.pw_uid == self._uid else f"as {entry.pw_name}"
            raise Refusal(
                f"The step is to run {wanted}, but this worker runs as {self._own.variables['USER']} and cannot become "
                "another user or group: run the worker as root, or clear the step's user and group."
            )
        if self._setpriv is None:
            raise Refusal(
                "The program setpriv is not on this node: install the package util-linux, then restart the worker."
            )
        return (self._setpriv, f"--reuid={entry.pw_uid}", f"--regid={gid}", "--init-groups", "--")

    def _variables(self, entry: pwd.struct_passwd) -> dict[str, str]:
        name = entry.pw_name
        return {**self._common, "HOME": entry.pw_dir or "/", "USER": name, "LOGNAME": name}


def _named(user: str) -> pwd.struct_passwd:
    try:
        return pwd.getpwnam(user)
    except KeyError:
        raise Refusal(f"There is no user {user!r} on this node: create it, or change the step's user.") from None


def _gid(group: str) -> int:
    try:
        return grp.getgrnam(group).gr_gid
    except KeyError:
        raise Refusal(f"There is no group {group!r} on this node: create it, or change the step's group.") from None


def _entry_of(uid: int) -> pwd.struct_passwd:
    try:
        return pwd.getpwuid(uid)
    except KeyError:
        # A container may run under a number that has no account.
        return pwd.struct_passwd((str(uid), "x", uid, os.getgid(), "", "/", "/bin/sh"))
