"""A worker that also tells when it has started each program: ``python -m bench._starts`` instead of
``python -m workers.engine``. The wall clock is written, as a C double, to the file named by ``BENCH_STARTS`` right
after each posix_spawn has returned, when the program exists and has been executed."""

import os
import struct
import sys
import time

from workers.engine import __main__ as engine
from workers.engine.runners import posix

_file = os.open(os.environ["BENCH_STARTS"], os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC)


class Order(posix.Order):
    """As its parent, but on the record."""

    def spawn(self) -> int:
        """The pid."""
        pid = super().spawn()
        os.write(_file, struct.pack("d", time.time()))
        return pid


if __name__ == "__main__":
    posix.Order = Order  # type: ignore[misc]
    sys.exit(engine.main())
