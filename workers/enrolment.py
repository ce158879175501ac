"""How a host becomes a node: an enrolment token, made by an administrator, is exchanged for an identity.

A token's text is ``ects1.<secret>.<fingerprint>``: the fingerprint of the console's verify key, so that nobody on the
way can plant another. Only the SHA-256 of the secret is stored; uses are taken by conditional update.
"""

import hashlib
import secrets
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

from django.db import IntegrityError, transaction
from django.db.models import F
from django.utils.translation import gettext as _

from workers import accounts, keyring
from workers.accounts import Access
from workers.models import EnrolmentToken, Node

PREFIX = "ects1"

STALE = timedelta(seconds=90)
"""A node that counts as online and was not seen for so long is not: no master leads that would say so."""


class Refused(Exception):
    """This host cannot join with this token; the sentence says why."""


class Taken(Exception):
    """Another host is, or has, what this one wants to be; the sentence says what to do."""


@dataclass(frozen=True, slots=True)
class Applicant:
    """What a host says of itself when it asks to join. ``public_key``: 32 bytes (X25519). ``node``: the one that it
    wants to be. ``labels`` count the first time; afterwards those of the console do."""

    name: str
    public_key: bytes
    machine_id: str
    host: str = ""
    version: str = ""
    description: str = ""
    labels: Mapping[str, str] = field(default_factory=dict)
    node: UUID | None = None


@dataclass(frozen=True, slots=True)
class Admission:
    """A node that has just joined: its new token, and what it signs in to etcd with."""

    node: Node
    token: str
    etcd: Access


def digest_of(token: str) -> str:
    """SHA-256, hexadecimal."""
    return hashlib.sha256(token.encode()).hexdigest()


def make_token(
    *, now: datetime, node: UUID | None = None, uses: int = 1, expires_in: float = 3600, user: Any = None
) -> tuple[str, EnrolmentToken]:
    """A new enrolment token: its text, which is shown once, and its row. ``expires_in`` is in seconds."""
    secret = secrets.token_urlsafe(32)
    row = EnrolmentToken.objects.create(
        digest=digest_of(secret),
        node_id=node,
        uses=uses,
        expires_at=now + timedelta(seconds=expires_in),
        created_by=user,
    )
    return f"{PREFIX}.{secret}.{keyring.fingerprint()}", row


def enrol(token: str, applicant: Applicant, now: datetime) -> Admission:
    """Lets the host join. The same host may repeat its request (a lost reply) without a second use.

    Raises Refused or Taken; ``accounts.Unmanageable`` or CoordinationError when the node cannot get an etcd user.
    """
    _usable(token, now)
    accounts.check()
    with transaction.atomic():
        row = _usable(token, now)
        node = _node(row, applicant)
        _refuse_a_living_one(node, applicant, now)
        if bytes(node.public_key or b"") != applicant.public_key or node.enrolled_by_id != row.pk:
            _take_use(row, now)
        node_token = secrets.token_urlsafe(32)
        _admit(node, applicant, row, digest_of(node_token), now)
        access = accounts.assign(node)
    accounts.publish(node)
    return Admission(node, node_token, access)


def _usable(token: str, now: datetime) -> EnrolmentToken:
    prefix, _dot, rest = token.partition(".")
    secret = rest.rpartition(".")[0]
    row = EnrolmentToken.objects.filter(digest=digest_of(secret)).first() if prefix == PREFIX else None
    if row is None:
        raise Refused(_("This enrolment token is not known: make a new one in the console, under Nodes."))
    if row.expires_at <= now:
        raise Refused(_("This enrolment token has expired: make a new one in the console, under Nodes."))
    return row


def _node(row: EnrolmentToken, applicant: Applicant) -> Node:
    """The node that the host is or becomes, perhaps a new one: the token's own, the one that the host names, the one
    with this very key, or one of this name that was made beforehand."""
    if row.node_id is not None:
        return _named_by_token(row.node_id, applicant)
    if applicant.node is not None:
        return _named_by_host(applicant.node, applicant)
    same_key = Node.objects.select_for_update().filter(public_key=applicant.public_key).first()
    if same_key is not None:
        return same_key
    node = Node.objects.select_for_update().filter(name=applicant.name).first() or Node(name=applicant.name)
    if node.public_key:
        raise Taken(
            _("A node named “%(name)s” has joined already: choose another --name, or make a token for that node.")
            % {"name": applicant.name}
        )
    return node


def _named_by_token(wanted: UUID, applicant: Applicant) -> Node:
    node = Node.objects.select_for_update().get(pk=wanted)
    if applicant.node not in (None, wanted):
        raise Refused(
            _("This enrolment token is for the node “%(name)s”, but this host is another: %(node)s.")
            % {"name": node.name, "node": applicant.node}
        )
    return node


def _named_by_host(wanted: UUID, applicant: Applicant) -> Node:
    """One that has joined already is another host's, unless it is this one that repeats its request."""
    node = Node.objects.select_for_update().filter(pk=wanted).first() or Node(id=wanted, name=applicant.name)
    if node.mode != Node.Mode.WORKER:
        raise Refused(_("The node “%(name)s” is a master.") % {"name": node.name})
    if node.public_key and bytes(node.public_key) != applicant.public_key:
        raise Taken(
            _("The node “%(name)s” has joined already: make a token for that node on its page in the console.")
            % {"name": node.name}
        )
    return node


def _refuse_a_living_one(node: Node, applicant: Applicant, now: datetime) -> None:
    """Two workers of one identity would both fire: who moves a node stops it on the old machine first."""
    is_elsewhere = bool(node.machine_id and applicant.machine_id) and node.machine_id != applicant.machine_id
    if is_elsewhere and node.online and node.last_seen is not None and node.last_seen > now - STALE:
        raise Taken(
            _("The node “%(name)s” is online on %(host)s: stop its worker there, and try again half a minute later.")
            % {"name": node.name, "host": node.host}
        )


def _take_use(row: EnrolmentToken, now: datetime) -> None:
    taken = EnrolmentToken.objects.filter(pk=row.pk, uses__gt=0, expires_at__gt=now).update(uses=F("uses") - 1)
    if not taken:
        raise Refused(_("This enrolment token is used up: make a new one in the console, under Nodes."))


def _admit(node: Node, applicant: Applicant, row: EnrolmentToken, digest: str, now: datetime) -> None:
    node.description = applicant.description or node.description
    if node.enrolled_at is None:
        node.labels = {**applicant.labels, **node.labels}
    node.public_key = applicant.public_key
    node.machine_id = applicant.machine_id
    node.host = applicant.host
    node.version = applicant.version
    node.token_digest = digest
    node.next_token_digest = node.next_token = ""
    node.rotated_at = node.retired_at = None
    node.enrolled_at = now
    node.enrolled_by_id = row.pk
    try:
        with transaction.atomic():
            node.save()
    except IntegrityError:
        raise Taken(_("A node named “%(name)s” exists already: choose another --name.") % {"name": node.name}) from None
