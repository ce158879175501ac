"""etcd: a thin client of our own, the only place that knows gRPC.

``AsyncEtcd`` for workers and the master, ``SyncEtcd`` and ``EtcdAccounts`` for Django; all implement
``coordination.gateway``.
"""

import os

# gRPC reads this when it is imported: without it, a child of a process that has used gRPC hangs in its first call.
os.environ.setdefault("GRPC_ENABLE_FORK_SUPPORT", "true")

from coordination.etcd.accounts import EtcdAccounts
from coordination.etcd.blocking import SyncEtcd
from coordination.etcd.client import AsyncEtcd

__all__ = ["AsyncEtcd", "EtcdAccounts", "SyncEtcd"]
