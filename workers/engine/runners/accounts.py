"""Whose environment a program gets, and how it becomes that user."""

import os
import pwd
import shutil
from collections.abc import Mapping

DEFAULT_PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"

_KEPT = ("PATH", "LANG", "LC_ALL", "TZ")
"""Of the worker's own environment, this much is passed on to steps; anything else could be its secret."""


class Refusal(Exception):
    """The program cannot be started like this. The message is the sentence for the step."""


class Accounts:
    """The users that steps run as. ``environ`` is the worker's own environment."""

    def __init__(self, environ: Mapping[str, str]) -> None:
        kept = {name: environ[name] for name in _KEPT if name in environ}
        self._common = {"PATH": DEFAULT_PATH, "LANG": "C.UTF-8", **kept}
        self._uid = os.getuid()
        self._own = self._base(_account_of(self._uid))

    def base(self, user: str) -> dict[str, str]:
        """PATH, HOME, LANG, USER, LOGNAME of ``user``, or of the worker's user when empty. Raises Refusal."""
        return self._own if not user else self._base(_account_named(user))

    def command(self, user: str, command: list[str]) -> list[str]:
        """The command line that runs ``command`` as ``user`` with that user's groups. Raises Refusal."""
        if not user:
            return command
        account = _account_named(user)
        if account.pw_uid == self._uid:
            return command
        if self._uid != 0:
            raise Refusal(
                f"The step is to run as {user}, but this worker runs as {self._own['USER']} and cannot become "
                "another user: run the worker as root, or clear the step's user."
            )
        setpriv = shutil.which("setpriv", path=self._common["PATH"])
        if setpriv is None:
            raise Refusal("The program setpriv is not on this node: install the package util-linux.")
        become = [f"--reuid={account.pw_uid}", f"--regid={account.pw_gid}", "--init-groups"]
        return [setpriv, *become, "--", *command]

    def owner(self, user: str) -> tuple[int, int] | None:
        """User and group id of ``user`` when files for it must be handed over. Raises Refusal."""
        account = _account_named(user) if user else None
        return (account.pw_uid, account.pw_gid) if account and account.pw_uid != self._uid else None

    def _base(self, account: pwd.struct_passwd) -> dict[str, str]:
        name = account.pw_name
        return {**self._common, "HOME": account.pw_dir or "/", "USER": name, "LOGNAME": name}


def _account_named(user: str) -> pwd.struct_passwd:
    try:
        return pwd.getpwnam(user)
    except KeyError:
        raise Refusal(f"There is no user {user!r} on this node: create it, or change the step's user.") from None


def _account_of(uid: int) -> pwd.struct_passwd:
    try:
        return pwd.getpwuid(uid)
    except KeyError:
        # A container may run under a number that has no account.
        return pwd.struct_passwd((str(uid), "x", uid, os.getgid(), "", "/", "/bin/sh"))
