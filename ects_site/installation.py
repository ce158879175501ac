"""Sets up an installation whose settings come from a configuration file: tables, administrator, etcd, settings."""

import getpass
import os
import subprocess
import sys
from collections.abc import Mapping

from django.conf import settings
from django.contrib.auth import get_user_model
from django.core.exceptions import ValidationError
from django.core.management import call_command
from django.core.validators import validate_email
from django.db import transaction

from coordination.errors import CoordinationError
from ects_site import environment
from pipelines import publishing
from workers import store

ACCOUNT = ("ECTS_ADMIN_NAME", "ECTS_ADMIN_EMAIL", "ECTS_ADMIN_PASSWORD")
"""The variables that tell the second process of the administrator: everybody can see command lines."""


class Refused(Exception):
    """The installation cannot be set up; the sentence says why and what to do."""


def account(name: str, email: str, password: str | None) -> dict[str, str]:
    """The administrator as variables. Asks for a password that is not given anywhere. Raises Refused."""
    password = password or os.environ.get("ECTS_ADMIN_PASSWORD", "")
    if not password and sys.stdin.isatty():
        password = getpass.getpass(f"Password of {name}: ")
    if not password:
        raise Refused("--pass: a password for the administrator is needed (or the variable ECTS_ADMIN_PASSWORD)")
    if not name:
        raise Refused("--name: the administrator needs a user name")
    try:
        validate_email(email)
    except ValidationError as error:
        raise Refused(f"--email: {error.messages[0]}") from None
    return dict(zip(ACCOUNT, (name, email, password), strict=True))


def check(wanted: Mapping[str, str], *, force: bool) -> None:
    """Raises Refused when there is an installation already, or a variable that would win over the file's."""
    path = environment.settings_file()
    if path.exists() and not force:
        raise Refused(f"{path} exists: this installation is set up already. --force replaces its settings")
    for name, value in wanted.items():
        if name in settings.FROM_SETTINGS_FILE:
            continue
        for variable, same in ((name, value), (f"{name}_FILE", "")):
            if os.environ.get(variable, same) != same:
                raise Refused(f"{variable} is set in this environment and would win over the file: unset it first")


def set_up(wanted: Mapping[str, str], admin: Mapping[str, str], *, force: bool) -> int:
    """Runs ``apply`` in a process that has the new settings, then keeps them; the exit status of that process."""
    old = {name: value for name, value in os.environ.items() if name not in settings.FROM_SETTINGS_FILE}
    command = [sys.executable, str(settings.BASE_DIR / "manage.py"), "init", "--apply", *(["--force"] if force else [])]
    new = {**old, **wanted, **admin, "ECTS_SETTINGS_FILE": os.devnull}
    status = subprocess.run(command, env=new, check=False).returncode
    if status == 0:
        environment.write_settings_file(wanted)
    return status


def apply(*, force: bool) -> None:
    """Under the new settings: tables, the administrator, the shared settings in etcd. Raises Refused."""
    # Without an etcd in the file, ``single`` starts its own later, and the master publishes there.
    named = "ECTS_ETCD_ENDPOINTS" in os.environ
    if named:
        _check_etcd()
    call_command("migrate", verbosity=0, interactive=False)
    _make_admin(*(os.environ[name] for name in ACCOUNT), force=force)
    if named:
        publishing.publish_config()


def _check_etcd() -> None:
    try:
        store.sync_gateway().get(store.keys().config())
    except CoordinationError as error:
        raise Refused(f"etcd.endpoints: {', '.join(settings.ECTS_ETCD.endpoints)}: {error}") from None


@transaction.atomic
def _make_admin(name: str, email: str, password: str, *, force: bool) -> None:
    users = get_user_model().objects
    user = users.filter(username=name).first()
    if user is None:
        users.create_superuser(name, email, password)
        return
    if not force:
        raise Refused(f"there is a user {name} already: --force makes an administrator of it, with this password")
    user.email, user.is_staff, user.is_superuser, user.is_active = email, True, True, True
    user.set_password(password)
    user.save()
