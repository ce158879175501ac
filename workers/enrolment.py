"""How a host becomes a node: an enrolment token, made by an administrator, is exchanged for an identity.

A token's text is ``ects1.<secret>.<fingerprint>``: the fingerprint of the console's verify key, so that nobody on the
way can plant another. Only the SHA-256 of the secret is stored; uses are taken by conditional update.
"""

import hashlib
import secrets
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

from django.db import IntegrityError, transaction
from django.db.models import F
from django.utils.translation import gettext as _

from workers import keyring
from workers.models import EnrolmentToken, Node

PREFIX = "ects1"


class Refused(Exception):
    """This host cannot join with this token; the sentence says why."""


class NameTaken(Exception):
    """Another host has this name."""


@dataclass(frozen=True, slots=True)
class Applicant:
    """What a host says of itself when it asks to join. ``public_key``: 32 bytes (X25519)."""

    name: str
    public_key: bytes
    machine_id: str
    host: str = ""
    version: str = ""


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


def enrol(token: str, applicant: Applicant, now: datetime) -> tuple[Node, str]:
    """The node and its new token. The same host may repeat its request (a lost reply) without a second use.

    Raises Refused, or NameTaken.
    """
    with transaction.atomic():
        row = _usable(token, now)
        node = _node(row, applicant)
        if node is None:
            node = Node(id=row.node_id) if row.node_id else Node()
        if bytes(node.public_key or b"") != applicant.public_key or node.enrolled_by_id != row.pk:
            _take_use(row, now)
        node_token = secrets.token_urlsafe(32)
        _admit(node, applicant, row, digest_of(node_token), now)
    return node, node_token


def _usable(token: str, now: datetime) -> EnrolmentToken:
    prefix, _dot, rest = token.partition(".")
    secret = rest.rpartition(".")[0]
    row = EnrolmentToken.objects.filter(digest=digest_of(secret)).first() if prefix == PREFIX else None
    if row is None:
        raise Refused(_("This enrolment token is not known: make a new one in the console, under Nodes."))
    if row.expires_at <= now:
        raise Refused(_("This enrolment token has expired: make a new one in the console, under Nodes."))
    return row


def _node(row: EnrolmentToken, applicant: Applicant) -> Node | None:
    """The node that the host is or becomes: the token's own, one with this very key, or one made beforehand."""
    if row.node_id is not None:
        return Node.objects.select_for_update().filter(pk=row.node_id).first()
    same_key = Node.objects.select_for_update().filter(public_key=applicant.public_key).first()
    if same_key is not None:
        return same_key
    named = Node.objects.select_for_update().filter(name=applicant.name).first()
    if named is not None and named.public_key:
        raise NameTaken(
            _("A node named “%(name)s” has joined already: choose another --name, or make a token for that node.")
            % {"name": applicant.name}
        )
    return named


def _take_use(row: EnrolmentToken, now: datetime) -> None:
    taken = EnrolmentToken.objects.filter(pk=row.pk, uses__gt=0, expires_at__gt=now).update(uses=F("uses") - 1)
    if not taken:
        raise Refused(_("This enrolment token is used up: make a new one in the console, under Nodes."))


def _admit(node: Node, applicant: Applicant, row: EnrolmentToken, digest: str, now: datetime) -> None:
    if row.node_id is None:
        node.name = applicant.name
    node.public_key = applicant.public_key
    node.machine_id = applicant.machine_id
    node.host = applicant.host
    node.version = applicant.version
    node.token_digest = digest
    node.enrolled_at = now
    node.enrolled_by_id = row.pk
    try:
        with transaction.atomic():
            node.save()
    except IntegrityError:
        raise NameTaken(
            _("A node named “%(name)s” exists already: choose another --name.") % {"name": node.name}
        ) from None
