"""A worker that also tells when it has started each program: ``python -m bench._starts`` instead of
``python -m workers.engine``. The wall clock is written, as a C double, to the file named by ``BENCH_STARTS`` right
after each ``subprocess.Popen`` of the spawner has returned, when the program exists and has been executed."""

import os
import struct
import subprocess
import sys
import time
from typing import Any

from workers.engine import __main__ as engine
from workers.engine.runners import spawn

_file = os.open(os.environ["BENCH_STARTS"], os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC)


class Popen(subprocess.Popen[bytes]):
    """As its parent, but on the record."""

    def __init__(self, *arguments: Any, **named: Any) -> None:
        super().__init__(*arguments, **named)
        os.write(_file, struct.pack("d", time.time()))


class _Subprocess:
    """What the spawner needs of the module."""

    Popen = Popen


if __name__ == "__main__":
    spawn.subprocess = _Subprocess  # type: ignore[assignment]
    sys.exit(engine.main())
