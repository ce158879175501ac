"""What an administrator does with a node that has joined: drain it, give it another token, revoke that, retire it.

A node learns its name, whether it is to drain, and its next token from a signed document that goes along with the
answer to its next delivery (``coordination.documents.NodeDocument``): at the latest ten seconds later, if it is there.
"""

import secrets
import time
from collections.abc import Iterable, Mapping
from contextlib import suppress
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

from django.db import transaction
from django.db.models import Q
from django.utils.translation import gettext as _

from coordination import crypto, documents
from coordination.documents import NodeDocument
from logs.collisions import transact
from workers import keyring
from workers.enrolment import digest_of
from workers.models import EnrolmentToken, Node
from workers.signals import node_retired

OLD_TOKEN_LIFE = timedelta(days=7)
"""How long a node may sign in with its old token after another was made for it."""


POLL = 0.5
"""Seconds between two looks whether a node has drained."""


class Impossible(Exception):
    """It cannot be done with this node as things stand; the sentence says what to do."""


def named(text: str) -> Node:
    """The node of this name or id. Raises Impossible."""
    wanted = Q(name=text)
    with suppress(ValueError):
        wanted |= Q(pk=UUID(text))
    node = Node.objects.filter(wanted).first()
    if node is None:
        raise Impossible(_("There is no node %(name)s.") % {"name": text})
    return node


def wait_until_drained(pk: UUID, seconds: float) -> None:
    """Returns when the node has confirmed that it drains, and nothing runs there. Raises Impossible after so long."""
    deadline = time.monotonic() + seconds
    while not (node := Node.objects.get(pk=pk)).is_drained:
        if time.monotonic() > deadline:
            going = _("%(number)d runs are going") % {"number": node.running}
            why = going if node.draining else _("it has not confirmed that it drains")
            raise Impossible(_("%(name)s is not drained: %(why)s.") % {"name": node.name, "why": why})
        time.sleep(POLL)


def describe(pk: UUID, changes: Mapping[str, Any], now: datetime) -> Node:
    """Changes name, description or labels. A node that is renamed learns it."""
    with transaction.atomic():
        node = Node.objects.select_for_update().get(pk=pk)
        is_renamed = changes.get("name", node.name) != node.name
        for name, value in changes.items():
            setattr(node, name, value)
        if is_renamed:
            node.document_generation = next_generation(node.document_generation, now)
        node.save()
    return node


def drain(pk: UUID, now: datetime) -> Node:
    """Has the node begin nothing new and end what runs, until ``undrain``, over restarts too. Raises Impossible."""
    with transaction.atomic():
        node = _worker(pk)
        _must_hear(node)
        if node.drain_asked_at is None:
            node.drain_asked_at = now
            _tell(node, now)
    return node


def undrain(pk: UUID, now: datetime) -> Node:
    """Has the node fire again, from the next instant on; nothing is caught up. Raises Impossible."""
    with transaction.atomic():
        node = _worker(pk)
        if node.drain_asked_at is not None:
            node.drain_asked_at = None
            _tell(node, now)
    return node


def rotate(pk: UUID, now: datetime) -> Node:
    """Makes another token for the node. The old one is good until the new one was used, but no longer than
    ``OLD_TOKEN_LIFE``. Raises Impossible."""
    with transaction.atomic():
        node = _worker(pk)
        _must_hear(node)
        if not node.token_digest or not node.public_key:
            raise Impossible(_("%(name)s has no token: let it join again.") % {"name": node.name})
        # While one is on its way: the node may have kept it already, and must find it good.
        if not node.next_token_digest:
            token = secrets.token_urlsafe(32)
            node.next_token_digest, node.rotated_at = digest_of(token), now
            node.next_token = crypto.seal(bytes(node.public_key), token)
            _tell(node, now)
    return node


def revoke(nodes: Iterable[Node]) -> int:
    """Their deliveries are refused until they enrol again; how many nodes it were."""
    with transaction.atomic():
        found = list(Node.objects.select_for_update().filter(pk__in=[node.pk for node in nodes]).order_by("pk"))
        for node in found:
            _take_tokens(node)
            node.save()
    return len(found)


def revoke_one(pk: UUID, now: datetime) -> Node:
    """As ``revoke``, of one node. Raises Impossible."""
    with transaction.atomic():
        node = _worker(pk)
        _take_tokens(node)
        node.save()
    return node


def retire(pk: UUID, now: datetime) -> Node:
    """Takes the node out of service for good: its bindings and its tokens go, its history stays. It comes back only by
    an enrolment token made for it. Raises Impossible."""

    def take_out() -> Node:
        node = _worker(pk)
        _take_tokens(node)
        EnrolmentToken.objects.filter(node=node).delete()
        node_retired.send(sender=Node, node=node, at=now)
        node.retired_at, node.drain_asked_at = now, None
        node.save()
        return node

    return transact(take_out)


def may_use_old_token(node: Node, now: datetime) -> bool:
    """Whether its token is still good although another was made."""
    return not node.next_token_digest or node.rotated_at is None or node.rotated_at > now - OLD_TOKEN_LIFE


def take_next_token(digest: str) -> Node | None:
    """The node whose next token this is: it is its only one from now on."""
    rows = Node.objects.filter(next_token_digest=digest)
    rows.update(token_digest=digest, next_token_digest="", next_token="", rotated_at=None)
    return Node.objects.filter(token_digest=digest).first()


def unheard(node: Node, now: datetime) -> str:
    """The signed document that this node has not heard yet; empty when it has, or would not understand it."""
    heard = node.document_heard
    if heard is None or heard == node.document_generation:
        return ""
    if heard > node.document_generation:
        # It knows more than the database, which was restored from a backup: what it says now is to count again.
        node.document_generation = next_generation(heard, now)
        Node.objects.filter(pk=node.pk).update(document_generation=node.document_generation)
    wanted = NodeDocument(
        node=str(node.pk),
        generation=node.document_generation,
        name=node.name,
        draining=node.drain_asked_at is not None,
        token=node.next_token,
    )
    return keyring.signer().sign("node", documents.encode(wanted)).decode()


def next_generation(held: int, now: datetime) -> int:
    """Of a node's document: Unix milliseconds, or one more than it had when that is ahead of the clock."""
    return max(held + 1, int(now.timestamp() * 1000))


def _worker(pk: UUID) -> Node:
    node = Node.objects.select_for_update().get(pk=pk)
    if node.mode != Node.Mode.WORKER:
        raise Impossible(_("%(name)s is a master: this is for workers.") % {"name": node.name})
    if node.retired_at is not None:
        raise Impossible(_("%(name)s is retired already.") % {"name": node.name})
    return node


def _must_hear(node: Node) -> None:
    if not node.hears:
        raise Impossible(
            _("The worker of %(name)s (version %(version)s) is too old to be told: update it first.")
            % {"name": node.name, "version": node.version or "?"}
        )


def _tell(node: Node, now: datetime) -> None:
    node.document_generation = next_generation(node.document_generation, now)
    node.save()


def _take_tokens(node: Node) -> None:
    """A repetition of the request by which it joined makes no new one either."""
    node.token_digest = node.next_token_digest = node.next_token = ""
    node.rotated_at = node.enrolled_by_id = None
