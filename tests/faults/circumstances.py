"""Where and with what a run was made, for each line of its results."""

import os
import platform
import subprocess
from pathlib import Path
from typing import Any

from tests import etcd_server
from tests.site.processes import ROOT


def circumstances() -> dict[str, Any]:
    """The machine, the versions and the commit."""
    return {
        "machine": {
            "cpu": _line_of("/proc/cpuinfo", "model name"),
            "cpus": len(os.sched_getaffinity(0)),
            "memory_gb": round(int(_line_of("/proc/meminfo", "MemTotal").split()[0]) / 1e6, 1),
            "kernel": platform.release(),
        },
        "versions": {
            "python": platform.python_version(),
            "etcd": _said(etcd_server.binary(), "--version").partition("\n")[0].removeprefix("etcd Version: "),
            "mariadb": _said("mariadbd", "--version").partition("Ver ")[2].partition(" ")[0],
        },
        "commit": _said("git", "-C", str(ROOT), "rev-parse", "--short", "HEAD"),
    }


def _line_of(path: str, name: str) -> str:
    lines = Path(path).read_text().splitlines()
    return next(line.partition(":")[2].strip() for line in lines if line.startswith(name))


def _said(*command: str) -> str:
    return subprocess.run(command, capture_output=True, text=True, check=False).stdout.strip()
