"""What one member of etcd says of itself."""

from contextlib import closing
from dataclasses import dataclass

from coordination.etcd import etcd_pb2 as pb
from coordination.etcd.blocking import SyncEtcd
from coordination.etcd.calls import STATUS
from coordination.gateway import EtcdSettings


@dataclass(frozen=True, slots=True)
class MemberStatus:
    """``size`` and ``in_use`` are bytes of its database. ``errors`` are its alarms, and other things that it complains
    of. ``cluster`` is the same for all members of one."""

    version: str
    cluster: int
    size: int
    in_use: int
    has_leader: bool
    errors: tuple[str, ...]


def member_status(settings: EtcdSettings, timeout: float) -> MemberStatus:
    """Of the member at the settings' one endpoint. Raises CoordinationError."""
    with closing(SyncEtcd(settings)) as client:
        said = client.call(STATUS, pb.StatusRequest(), timeout)
    return MemberStatus(
        version=said.version,
        cluster=said.header.cluster_id,
        size=said.dbSize,
        in_use=said.dbSizeInUse,
        has_leader=said.leader != 0,
        errors=tuple(said.errors),
    )
