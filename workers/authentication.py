"""Nodes sign in with their own token: ``Authorization: Node <token>``."""

import hmac
from typing import Any

from django.utils import timezone
from rest_framework.authentication import BaseAuthentication, get_authorization_header
from rest_framework.exceptions import AuthenticationFailed
from rest_framework.request import Request

from workers import lifecycle
from workers.enrolment import digest_of
from workers.models import Node

SCHEME = "Node"


class NodeTokenAuthentication(BaseAuthentication):
    """``request.user`` is the node. The token has 256 bits, so its plain SHA-256 is enough, and fast enough."""

    def authenticate(self, request: Request) -> tuple[Any, None] | None:
        """None without such a header; AuthenticationFailed for a token that no node has."""
        scheme, _, token = get_authorization_header(request).decode("latin-1").partition(" ")
        if scheme != SCHEME:
            return None
        digest = digest_of(token.strip())
        node = Node.objects.filter(token_digest=digest).first() or lifecycle.take_next_token(digest)
        if node is None or not hmac.compare_digest(node.token_digest, digest):
            raise AuthenticationFailed("This node token is not known, or was revoked: enrol the node again.")
        if not lifecycle.may_use_old_token(node, timezone.now()):
            raise AuthenticationFailed("This node token was replaced long ago: enrol the node again.")
        return node, None

    def authenticate_header(self, request: Request) -> str:
        """Makes the answer a 401."""
        return SCHEME
