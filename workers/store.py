"""The console's way to etcd, as the settings say."""

from functools import lru_cache

from django.conf import settings

from coordination.etcd import AsyncEtcd, EtcdAccounts, SyncEtcd
from coordination.gateway import Accounts, Gateway, SyncGateway
from coordination.keys import Keys


def keys() -> Keys:
    """The keys of this installation."""
    return Keys(settings.ECTS_ETCD_PREFIX)


@lru_cache(maxsize=1)
def sync_gateway() -> SyncGateway:
    """One client for the process; it connects when it is first used, and again after a fork."""
    return SyncEtcd(settings.ECTS_ETCD)


@lru_cache(maxsize=1)
def accounts() -> Accounts:
    """etcd's users, as the console's own user may manage them."""
    return EtcdAccounts(settings.ECTS_ETCD)


def async_gateway() -> Gateway:
    """A client for the running event loop; close it."""
    return AsyncEtcd(settings.ECTS_ETCD)
