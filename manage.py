#!/usr/bin/env python
"""Django's command line for ECTS."""

import os
import sys
from pathlib import Path

from django.core.exceptions import ImproperlyConfigured
from django.core.management import execute_from_command_line
from django.db.utils import InterfaceError, OperationalError, ProgrammingError

SETTINGS = "ects_site.settings"
WORKER_SETTINGS = "ects_site.worker_settings"


def main(arguments: list[str]) -> None:
    """A worker has settings of its own; a variable that is inherited from the console's process is not for it."""
    if arguments[1:2] == ["runworker"] or (arguments[1:2] == ["doctor"] and "--worker" in arguments):
        os.environ["DJANGO_SETTINGS_MODULE"] = WORKER_SETTINGS
    os.environ.setdefault("DJANGO_SETTINGS_MODULE", SETTINGS)
    try:
        execute_from_command_line(arguments)
    except ModuleNotFoundError as error:
        here, package = Path(__file__).parent, str(error.name).partition(".")[0]
        if (here / package).exists() and (here / "ects_site" / "settings.py").exists():
            raise  # A module of ours, in a checkout that has all of them: that is an error in one.
        sys.exit(f"{error}: install requirements.txt (requirements-worker.txt is enough for runworker only)")
    except (InterfaceError, OperationalError, ProgrammingError) as error:
        if "--traceback" in arguments:
            raise
        # It is away, refuses, or has no tables yet.
        sys.exit(f"The database cannot be used: {error.args[-1]}. manage.py doctor looks at it and says what to do.")
    except ImproperlyConfigured as error:
        if "--traceback" in arguments:
            raise
        sys.exit(f"A setting is wrong: {error}")


if __name__ == "__main__":
    main(sys.argv)
