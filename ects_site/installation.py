"""Sets up an installation as a configuration says: the one engine behind every mode of ``init``.

Everything is tested before anything is kept. What follows is done by ``applying``, in a process that has the new
settings; these are written down last, so that what was cut off can be begun again.
"""

import json
import os
import subprocess
import sys
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager

from django.contrib.auth import get_user_model
from django.contrib.auth.password_validation import validate_password
from django.core.exceptions import ValidationError
from django.core.validators import validate_email
from django.utils.translation import get_language, gettext_lazy
from django.utils.translation import gettext as _
from msgspec import Struct
from msgspec import json as msgjson

from ects_site import configuration_file, environment, mysql

# Not by django.conf: the wizard's process has settings of its own.
from ects_site import settings as console
from ects_site.configuration_file import Configuration, name_in_file
from ects_site.probes import database, etcd, keys
from ects_site.probes.contents import Contents
from ects_site.probes.report import Report

STEPS = {
    "etcd": gettext_lazy("etcd"),
    "database": gettext_lazy("Database"),
    "tables": gettext_lazy("Tables"),
    "keys": gettext_lazy("Signing key"),
    "administrator": gettext_lazy("Administrator"),
    "config": gettext_lazy("Shared settings in etcd"),
    "settings": gettext_lazy("Settings of this installation"),
}
"""What is done, in its order, by the names under which it is reported."""

Say = Callable[[str, str], None]
"""Told of a step that begins, or of its progress: the step and a word on it, which may be empty."""


class Refused(Exception):
    """The installation cannot be set up; the sentence says why and what to do."""


class Order(Struct):
    """What is to be done beside the settings. It travels by a pipe: everybody can see command lines.

    Without ``password`` the accounts that are there stay as they are. ``force``: this installation is set up already.
    ``adopt``: somebody has agreed to use what the database and etcd hold already. ``signing``: the seed of the first
    signing key, hexadecimal; empty for a random one.
    """

    name: str = "admin"
    email: str = "admin@localhost"
    password: str = ""
    force: bool = False
    adopt: bool = False
    signing: str = ""


def check_account(order: Order) -> None:
    """Raises Refused when nobody could sign in with it."""
    if not order.name:
        raise Refused(_("--name: the administrator needs a user name"))
    try:
        validate_email(order.email)
    except ValidationError as error:
        raise Refused(f"--email: {error.messages[0]}") from None
    if order.password:
        try:
            validate_password(order.password, get_user_model()(username=order.name, email=order.email))
        except ValidationError as error:
            raise Refused(f"--pass: {' '.join(error.messages)}") from None


def check_is_free(*, force: bool) -> None:
    """Raises Refused when there is an installation already."""
    path = environment.settings_file()
    if path.exists() and not force:
        sentence = _("%(path)s exists: this installation is set up already. --force replaces its settings")
        raise Refused(sentence % {"path": path})


def check_variables(wanted: Mapping[str, str]) -> None:
    """Raises Refused for a variable that would win over what is wanted."""
    for name, value in wanted.items():
        if name in console.FROM_SETTINGS_FILE:
            continue
        for variable, same in ((name, value), (f"{name}_FILE", "")):
            if os.environ.get(variable, same) != same:
                raise Refused(
                    _("%(variable)s is set in this environment and would win: unset it first, or choose the same")
                    % {"variable": variable}
                )


def check_live(configuration: Configuration, order: Order) -> list[str]:
    """Tests what is configured; notes on what was found. Raises Refused with all that is wrong."""
    wanted = configuration_file.environment(configuration)
    present = environment.encryption_keys()
    reports: list[tuple[str, Report]] = []
    signed_by, contents = "", Contents()
    if configuration.etcd is not None:
        of_etcd = etcd.probe(configuration.etcd)
        signed_by = of_etcd.signed_by
        reports.append(("etcd", _agreed(of_etcd, order, wanted, "ECTS_ETCD_ENDPOINTS", "ECTS_ETCD_PREFIX")))
    if configuration.database is not None or not is_from_outside("ECTS_DATABASE_URL"):
        of_database = database.probe(configuration.database, console.DATA_DIR / "ects.sqlite3")
        contents = of_database.contents
        reports.append(("database", _agreed(of_database, order, wanted, "ECTS_DATABASE_URL")))
    reports.append(("auth", keys.probe(configuration.auth, present, contents, signed_by)))
    if wrong := [
        f"{name_in_file(section, name)}: {sentence}" for section, report in reports for name, sentence in report.wrong
    ]:
        raise Refused("\n".join(wrong))
    if held := [f"{section}: {sentence}" for section, report in reports for sentence in report.holds]:
        raise Refused("\n".join([*held, _("--adopt uses what is there, with what is in it.")]))
    return [f"{section}: {note}" for section, report in reports for note in report.notes]


def _agreed(report: Report, order: Order, wanted: Mapping[str, str], *names: str) -> Report:
    """The report without what need not be asked: it was answered, or it is this installation's own."""
    if order.adopt or (order.force and is_present(wanted, *names)):
        report.notes += report.holds
        report.holds = []
    return report


def is_present(wanted: Mapping[str, str], *names: str) -> bool:
    """Whether these settings are as they were."""
    return all(wanted.get(name, "") == os.environ.get(name, "") for name in names)


def is_from_outside(name: str) -> bool:
    """Whether the environment sets this variable, so that it wins over what is set up."""
    return name not in console.FROM_SETTINGS_FILE and bool(environment.secret_from(name))


def set_up(configuration: Configuration, order: Order, say: Say) -> None:
    """Makes the database, does the rest under the new settings, then keeps them. Raises Refused."""
    wanted = configuration_file.environment(configuration)
    keys_of_others = configuration_file.keys(configuration)
    check_variables(wanted | _as_variables(keys_of_others))
    if configuration.database is not None:
        say("database", "")
        try:
            if mysql.create_database(configuration.database):
                say("database", _("made the database %(name)s") % {"name": configuration.database.name})
        except mysql.CannotMake as error:
            raise Refused(f"{name_in_file('database', error.field)}: {error}") from None
    _apply(wanted | _as_variables(keys_of_others), order, say)
    say("settings", str(environment.settings_file()))
    for name, value in keys_of_others.items():
        environment.keep_secret(name, value)
    others = environment.in_settings_file()
    kept = {name: value for name, value in others.items() if name not in configuration_file.SETTINGS}
    environment.write_settings_file(kept | wanted)


@contextmanager
def _ended_with_us(process: "subprocess.Popen[str]") -> Iterator[None]:
    try:
        yield
    except BaseException:
        process.terminate()
        raise


def _as_variables(keys_of_others: Mapping[str, str]) -> dict[str, str]:
    return {f"ECTS_{name}": value for name, value in keys_of_others.items()}


def _apply(wanted: Mapping[str, str], order: Order, say: Say) -> None:
    """Passes on what ``applying`` reports: lines of JSON, a step and a word on it, or why it ended."""
    old = {name: value for name, value in os.environ.items() if name not in console.FROM_SETTINGS_FILE}
    # Killed with this process, however that dies (prctl(2), PR_SET_PDEATHSIG).
    command = ["setpriv", "--pdeathsig", "TERM", "--", sys.executable, str(console.BASE_DIR / "manage.py")]
    process = subprocess.Popen(
        [*command, "init", "--apply"],
        env={
            **old,
            **wanted,
            "DJANGO_SETTINGS_MODULE": "ects_site.settings",
            "ECTS_SETTINGS_FILE": os.devnull,
            "ECTS_LANGUAGE": get_language() or "en",
        },
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        # Ctrl-C goes to this process alone, which ends that one.
        start_new_session=True,
    )
    with process, _ended_with_us(process):
        assert process.stdin is not None
        assert process.stdout is not None
        process.stdin.write(msgjson.encode(order).decode())
        process.stdin.close()
        refused = ""
        for line in process.stdout:
            event = json.loads(line)
            refused = event.get("refused", refused)
            if "step" in event:
                say(event["step"], event["word"])
    if process.returncode != 0:
        raise Refused(refused or _("it ended with status %(status)s; see above") % {"status": process.returncode})
