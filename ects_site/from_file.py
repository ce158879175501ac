"""``init --mode json`` and ``yaml``: an installation from a configuration file, without a question."""

import getpass
import sys
from collections.abc import Callable
from typing import Any

from django.utils.translation import gettext as _

from ects_site import configuration_file, installation
from ects_site.configuration_file import name_in_file
from ects_site.environment import secret_from
from ects_site.installation import Order, Refused
from ects_site.probes import mail


def set_up(write: Callable[[str], Any], options: dict[str, Any]) -> None:
    """``options``: of the command. Raises Invalid and Refused."""
    if options["path"] is None:
        raise Refused(_("--path is missing: the configuration file"))
    configuration = configuration_file.read(options["path"], options["mode"])
    order = Order(
        name=options["name"],
        email=options["email"],
        password=_password(options),
        force=options["force"],
        adopt=options["adopt"],
        signing=configuration.auth.signing,
    )
    installation.check_account(order)
    installation.check_is_free(force=order.force)
    installation.check_variables(configuration_file.environment(configuration))
    for note in installation.check_live(configuration, order):
        write(note)
    if options["test_mail"]:
        report = mail.send_test(configuration.notification, options["test_mail"])
        if report.wrong:
            names = {mail.TO: "--test-mail"}
            raise Refused(
                "\n".join(
                    f"{names.get(field) or name_in_file('notification', field)}: {sentence}"
                    for field, sentence in report.wrong
                )
            )
        write("\n".join(report.notes))
    installation.set_up(configuration, order, _teller(write))
    write(_("ECTS is set up; %(name)s may sign in.") % {"name": order.name})


def _password(options: dict[str, Any]) -> str:
    """Asks for one that is not given anywhere; empty where the administrators that are there may stay."""
    password = options["password"] or secret_from("ECTS_ADMIN_PASSWORD")
    if not password and not options["adopt"] and sys.stdin.isatty():
        password = getpass.getpass(f"Password of {options['name']}: ")
    if not password and not options["adopt"]:
        raise Refused(_("--pass: a password for the administrator is needed (or the variable ECTS_ADMIN_PASSWORD)"))
    return str(password)


def _teller(write: Callable[[str], Any]) -> installation.Say:
    """Writes each step once, and each word on it but the counting of tables."""

    def say(step: str, word: str) -> None:
        if step != "tables" or not word:
            write(f"{installation.STEPS[step]}: {word or '…'}")

    return say
