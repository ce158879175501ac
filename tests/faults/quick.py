"""The short form: every kind of fault once, several at a time."""

from tests.faults.scenarios import BY_NAME, Scenario, together


def _round(*names: str) -> Scenario:
    return together("+".join(names), [BY_NAME[name] for name in names])


ROUNDS = [
    _round("worker-killed", "worker-stopped", "worker-cut", "worker-deaf"),
    _round("database-down", "disk-full", "clock-ahead", "worker-mute", "etcd-leader-killed"),
    _round("two-masters", "etcd-slow", "etcd-compacted", "clock-behind", "web-down"),
    _round("all-restarted"),
    _round("etcd-wiped"),
]
