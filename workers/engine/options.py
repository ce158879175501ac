"""How a worker is run, as its command line says."""

from dataclasses import dataclass, field
from pathlib import Path

from coordination.fires import SESSION_TTL
from coordination.listener import Address
from workers.engine.runners.cgroups import Groups


@dataclass(frozen=True, slots=True)
class Options:
    """How this worker is run. ``grace``: seconds that running jobs get when the worker stops. ``session_ttl``: seconds
    after which others may take over what it was running, counted from its last word to etcd. ``groups``: the control
    groups that it may use, if any. ``metrics``: where it listens for health and metrics, if at all; ``metrics_token``
    opens the latter to other hosts."""

    state_dir: Path
    version: str = ""
    capacity: int = 256
    grace: float = 10.0
    session_ttl: float = SESSION_TTL
    labels: dict[str, str] = field(default_factory=dict)
    groups: Groups | None = None
    metrics: Address | None = None
    metrics_token: str = ""
