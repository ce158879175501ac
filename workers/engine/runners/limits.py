"""What one step may use."""

from dataclasses import dataclass

from coordination.documents import StepDocument


@dataclass(frozen=True, slots=True)
class Limits:
    """0 and empty: none. ``memory`` is in bytes, ``cpu_seconds`` in seconds of processor time."""

    memory: int = 0
    cpu_seconds: int = 0
    open_files: int = 0
    processes: int = 0
    nice: int = 0
    umask: str = ""

    @classmethod
    def of(cls, step: StepDocument) -> "Limits":
        """What the document says."""
        return cls(step.memory, step.cpu_seconds, step.open_files, step.processes, step.nice, step.umask)


NONE = Limits()


def amount(size: int) -> str:
    """Bytes for people: the largest unit that divides them."""
    for unit, name in ((1 << 30, "GiB"), (1 << 20, "MiB"), (1 << 10, "KiB")):
        if size % unit == 0:
            return f"{size // unit} {name}"
    return f"{size} bytes"
