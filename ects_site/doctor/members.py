"""etcd's members, each by its own word: version, size, leader, alarms, and that they are of one cluster."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

from coordination.errors import CoordinationError, PermissionDenied
from coordination.etcd.status import MemberStatus, member_status
from coordination.finding import Finding, fail, ok, warn
from coordination.gateway import EtcdSettings

TIMEOUT = 3.0
"""Seconds for each member's answer."""

MUCH = 1536 << 20
"""Bytes of its database: three quarters of the quota that is recommended, which etcd does not tell."""

MUCH_IN_USE = 512 << 20
"""Bytes of live data, far more than ECTS keeps there."""

OLDEST = (3, 4)
LOSING = range(0, 3)
"""Releases of 3.5 that could lose data on a crash."""


@dataclass(frozen=True, slots=True)
class _Member:
    endpoint: str
    status: MemberStatus


def check(etcd: EtcdSettings) -> Iterator[Finding]:
    """Findings on those that answer; that one does not is a finding of its own elsewhere."""
    members = []
    for endpoint in etcd.endpoints:
        try:
            members.append(_Member(endpoint, member_status(replace(etcd, endpoints=(endpoint,)), TIMEOUT)))
        except PermissionDenied:
            words = f"{endpoint} tells its version, size and alarms to etcd's root only: nobody looks at them here"
            yield warn("etcd", words, "Watch etcd's own metrics, or give the user of ECTS_ETCD_USER the role root.")
        except CoordinationError:
            continue
    for member in members:
        yield from _member(member)
    yield from _together(members, len(etcd.endpoints))


def _member(member: _Member) -> Iterator[Finding]:
    name, status = member.endpoint, member.status
    yield ok("etcd", f"{name} is etcd {status.version}, {status.size / (1 << 20):.1f} MB")
    yield from _version(name, status.version)
    if not status.has_leader:
        yield fail("etcd", f"{name} sees no leader", "Does a majority of the members run, and reach each other?")
    for error in status.errors:
        if "NOSPACE" in error:
            advice = "etcdctl compact, etcdctl defrag on each member, then etcdctl alarm disarm (docs/how-to/etcd.md)."
            yield fail("etcd", f"{name} is full and refuses writes: {error}", advice)
        else:
            yield fail("etcd", f"{name} says: {error}", "See its log.")
    if status.size > MUCH:
        advice = "etcdctl defrag, or raise --quota-backend-bytes; when the quota is reached it refuses writes."
        yield warn("etcd", f"{name} holds {status.size >> 20} MB", advice)
    if status.in_use > MUCH_IN_USE:
        advice = "Is --auto-compaction-mode periodic with --auto-compaction-retention 1h set? Who else writes there?"
        yield warn("etcd", f"{name} has {status.in_use >> 20} MB in use, far more than ECTS needs", advice)


def _version(name: str, version: str) -> Iterator[Finding]:
    numbers = [int(part) for part in version.partition("-")[0].split(".") if part.isdigit()]
    if len(numbers) < 3:
        yield warn("etcd", f"{name} has the version {version!r}, which is not understood", "See docs/how-to/etcd.md.")
    elif tuple(numbers[:2]) < OLDEST:
        yield fail("etcd", f"{name}: etcd {version} is too old", "Install 3.4 or newer.")
    elif numbers[:2] == [3, 5] and numbers[2] in LOSING:
        yield warn("etcd", f"{name}: etcd 3.5.0 to 3.5.2 can lose data on a crash", "Install 3.5.3 or newer.")


def _together(members: Sequence[_Member], number: int) -> Iterator[Finding]:
    """``number``: of members that there should be."""
    if len({member.status.cluster for member in members}) > 1:
        names = ", ".join(member.endpoint for member in members)
        advice = "Start one of them empty as a member of the other's cluster, or name only one in ECTS_ETCD_ENDPOINTS."
        yield fail("etcd", f"{names} are not members of one cluster", advice)
    if number == 2:
        words = "has two members: it stops as soon as one of them does"
        yield warn("etcd", words, "Run one, or three.")
