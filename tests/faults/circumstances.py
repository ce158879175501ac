"""Where and with what a run was made, for each line of its results."""

import subprocess
from typing import Any

from docs import machine
from tests import etcd_server


def circumstances() -> dict[str, Any]:
    """The machine, the commit, the day, and the versions of what was harmed."""
    about: dict[str, Any] = dict(machine.about())
    etcd = _said(etcd_server.binary(), "--version").partition("\n")[0].removeprefix("etcd Version: ")
    mariadb = _said("mariadbd", "--version").partition("Ver ")[2].partition(" ")[0]
    return about | {"etcd_version": etcd, "mariadb_version": mariadb}


def head(about: dict[str, Any]) -> dict[str, Any]:
    """The first line of a file of figures; see ``docs.figures``."""
    place = f"{about['machine']}, etcd {about['etcd_version']}, MariaDB {about['mariadb_version']}"
    return {"machine": place, **{name: about[name] for name in ("python", "commit", "day")}}


def _said(*command: str) -> str:
    return subprocess.run(command, capture_output=True, text=True, check=False).stdout.strip()
