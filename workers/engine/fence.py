"""The right to run a shared fire, which ends by itself: when etcd cannot be reached, another node takes over."""

import signal
from dataclasses import dataclass

OVER = "its right to run was over: etcd could not be reached for too long, so another node may have taken over"

LATE = "its right to run was over: this host was too busy to start its program in time"

TOO_LATE = signal.SIGSTKFLT
"""What a program ends itself with that may not begin any more; nothing else uses this signal (signal(7))."""


@dataclass(slots=True, eq=False)
class Fence:
    """``number`` grows from one claim of a pipeline to the next, for the job to hand on to what it writes to
    (Kleppmann, "How to do distributed locking", 2016). ``deadline`` is on CLOCK_BOOTTIME, in seconds, and moves on with
    each renewal of the session."""

    number: int
    deadline: float

    def is_over(self, boottime: float, margin: float = 0.0) -> bool:
        """Whether the right ends within ``margin`` seconds."""
        return boottime >= self.deadline - margin

    def check(self) -> tuple[str, ...]:
        """What goes before a command so that it does not begin after the deadline, however long its start took:
        /proc/uptime counts like CLOCK_BOOTTIME (proc(5)). Else it ends by ``TOO_LATE``."""
        script = f'read -r up _ </proc/uptime; [ "${{up%.*}}" -lt "$0" ] && exec "$@"; kill -{TOO_LATE:d} $$'
        return ("/bin/sh", "-c", script, str(int(self.deadline)))
