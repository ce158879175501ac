"""etcd's user and role of each worker, kept while the console itself has an etcd user.

Made when a host enrols, with a new password each time, and removed when its node is deleted or its token revoked. The
leading master keeps them in step, and tells them again to an etcd that was started empty. The console's user needs the
role ``root`` for that; otherwise the workers share a user made by etcd's administrator, ``ECTS_ETCD_WORKER_USER``.
"""

import logging
import secrets
from dataclasses import dataclass
from datetime import timedelta

from django.conf import settings
from django.db.models import Q
from django.utils import timezone

from coordination import rights
from coordination.crypto import CannotOpen
from coordination.errors import CoordinationError, PermissionDenied
from workers import store
from workers.models import EtcdUser, Node

log = logging.getLogger(__name__)


FAREWELL = timedelta(minutes=10)
"""For so long a retired node may still read in etcd that it is to forget its pipelines."""


class Unmanageable(Exception):
    """The console's etcd user may not make users; the sentence says what to do."""

    def __init__(self) -> None:
        user = settings.ECTS_ETCD.user
        super().__init__(
            f"the console's etcd user {user} may not make a user for this node: give it the role root in etcd, or set "
            "ECTS_ETCD_WORKER_USER and ECTS_ETCD_WORKER_PASSWORD to a user that all workers share"
        )


class CannotSecure(Exception):
    """etcd's authentication could not be switched on; the sentence says why and what to do."""


@dataclass(frozen=True, slots=True)
class Access:
    """With what a worker signs in to etcd; empty while etcd asks for nothing."""

    user: str = ""
    password: str = ""


def are_kept() -> bool:
    """Whether each worker has a user of its own."""
    return bool(settings.ECTS_ETCD.user) and not settings.ECTS_ETCD_WORKER_USER


def secure_etcd() -> None:
    """Has etcd ask for passwords, and know the console's user; does nothing when it does. Raises CannotSecure."""
    etcd = settings.ECTS_ETCD
    if etcd.user != "root" or not etcd.password:
        raise CannotSecure("set ECTS_ETCD_USER to root, without which etcd asks for no passwords, and its password")
    try:
        store.accounts().require(etcd.password)
        store.accounts().users()
    except CoordinationError as error:
        raise CannotSecure(str(error)) from None


def check() -> None:
    """Raises Unmanageable, or CoordinationError, when ``publish`` would: before anything is changed."""
    if are_kept():
        try:
            store.accounts().users()
        except PermissionDenied:
            raise Unmanageable from None


def assign(node: Node) -> Access:
    """What a node signs in with that enrols in this transaction: once it is committed, ``publish`` is due."""
    if not are_kept():
        return Access(settings.ECTS_ETCD_WORKER_USER, settings.ECTS_ETCD_WORKER_PASSWORD)
    password = secrets.token_urlsafe(32)
    ciphertext = settings.ECTS_AT_REST.encrypt(password.encode())
    EtcdUser.objects.update_or_create(node=node, defaults={"ciphertext": ciphertext})
    return Access(rights.node_name(store.keys(), str(node.pk)), password)


def publish(node: Node) -> None:
    """Has etcd know the node's user. Raises CoordinationError."""
    if not are_kept():
        return
    store.accounts().put_role(rights.worker_role(store.keys()), rights.of_workers(store.keys()))
    user, known = EtcdUser.objects.get(node=node), b""
    # Of two hosts that enrol as the same node at once, etcd has to know the one that the database knows.
    while bytes(user.ciphertext) != known:
        known = bytes(user.ciphertext)
        _put(user)
        user.refresh_from_db()


class Upkeep:
    """Brings etcd's users in step with the nodes, round by round; the first one looks at every right, too."""

    def __init__(self) -> None:
        self._is_first = True
        self._is_refused = False

    def round(self) -> None:
        """Raises CoordinationError; then the next round looks at everything again."""
        if not are_kept():
            return
        is_thorough, self._is_first = self._is_first, True
        try:
            _tend(is_thorough)
        except PermissionDenied as error:
            if not self._is_refused:
                log.warning("the users of the workers are not kept: %s", error)
            self._is_refused = True
            return
        self._is_first = self._is_refused = False


def missing() -> set[str]:
    """The nodes whose user is to be in etcd and is not. Raises CoordinationError."""
    return set(_wanted()) - rights.nodes_among(store.keys(), store.accounts().users())


def without() -> list[str]:
    """The names of nodes that joined before the console had an etcd user: none of theirs is known."""
    nodes = Node.objects.filter(mode=Node.Mode.WORKER, etcduser=None).exclude(token_digest="")
    return list(nodes.order_by("name").values_list("name", flat=True))


def _tend(is_thorough: bool) -> None:
    accounts, keys = store.accounts(), store.keys()
    # Before the nodes: a user is made after its node is.
    there = rights.nodes_among(keys, accounts.users())
    wanted = _wanted()
    for gone in sorted(there - wanted.keys()):
        accounts.remove_user(rights.node_name(keys, gone))
        accounts.remove_role(rights.node_name(keys, gone))
        log.info("etcd's user of node %s is removed", gone)
    new = wanted.keys() - there
    if is_thorough or new:
        accounts.put_role(rights.worker_role(keys), rights.of_workers(keys))
    for node in sorted(wanted):
        if node in new or (is_thorough and not _is_whole(node)):
            _restore(wanted[node])


def _wanted() -> dict[str, EtcdUser]:
    good = ~Q(node__token_digest="") | Q(node__retired_at__gt=timezone.now() - FAREWELL)
    users = EtcdUser.objects.filter(good, node__mode=Node.Mode.WORKER)
    return {str(user.node_id): user for user in users}


def _is_whole(node: str) -> bool:
    """Whether the user has its roles; a process may have ended between making the one and the other. The role's
    rights are put in order on the way."""
    accounts, name = store.accounts(), rights.node_name(store.keys(), node)
    accounts.put_role(name, rights.of_node(store.keys(), node))
    return accounts.roles_of(name) >= {name, rights.worker_role(store.keys())}


def _restore(user: EtcdUser) -> None:
    try:
        _put(user)
        log.info("etcd's user of node %s is made again", user.node_id)
    except CannotOpen:
        log.warning("etcd's user of node %s: its password cannot be opened; the node has to join again", user.node_id)


def _put(user: EtcdUser) -> None:
    accounts, keys, node = store.accounts(), store.keys(), str(user.node_id)
    name = rights.node_name(keys, node)
    accounts.put_role(name, rights.of_node(keys, node))
    accounts.put_user(name, user.password(), [rights.worker_role(keys), name])
