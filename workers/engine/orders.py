"""What the console wants of this node: what it is called, whether it drains, and with which token it signs in.

It comes signed with the answers to deliveries and is kept in the identity, so that it holds over a restart. A console
that does not know of it changes nothing.
"""

import asyncio
import logging
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

from coordination.crypto import CannotOpen, Refused, unseal
from coordination.documents import NodeDocument
from workers.engine import identity
from workers.engine.acceptance import Acceptance
from workers.engine.identity import Identity, IdentityError

log = logging.getLogger(__name__)

OnDrain = Callable[[bool], Awaitable[None]]
"""Carries out that this node drains, or does not any more."""


class Orders:
    """What of the identity can change while the worker runs; it is what the shipper must know of it."""

    def __init__(self, known: Identity, state_dir: Path, acceptance: Acceptance, on_drain: OnDrain) -> None:
        self.server_url = known.server_url
        """The console."""
        self.name = known.name
        """What the node is called."""
        self.draining = known.draining
        """This node begins nothing new."""
        self.generation = known.heard
        """Of the newest document that was taken."""
        self.token = known.token
        """What to sign in with."""
        self._former_token = known.former_token
        self._private_key = known.private_key
        self._state_dir = state_dir
        self._acceptance = acceptance
        self._on_drain = on_drain
        self._incident = ""

    def incidents(self) -> tuple[str, ...]:
        """Why what the console wants is not done."""
        return (self._incident,) if self._incident else ()

    def rejected(self) -> None:
        """The console does not know the token. If it was restored from a backup, it knows the one before."""
        if self._former_token:
            self.token, self._former_token = self._former_token, self.token

    async def told(self, envelope: str) -> None:
        """Takes a document. One that cannot be taken is an incident, and the console will send it again."""
        try:
            document = self._acceptance.node(envelope.encode(), self.generation)
            tokens = self._tokens(document)
            await self._keep(document, tokens)
        except (Refused, CannotOpen) as error:
            self._fail(f"what the console wants of this node is refused: {error}")
        except (OSError, IdentityError) as error:
            self._fail(f"what the console wants of this node cannot be kept: {error}")
            await self._drain(document.draining)
        else:
            self.token, self._former_token = tokens
            self.name, self.generation, self._incident = document.name, document.generation, ""
            await self._drain(document.draining)

    def _tokens(self, document: NodeDocument) -> tuple[str, str]:
        """The one to sign in with, and the one before."""
        token = unseal(self._private_key, document.token) if document.token else self.token
        return token, self.token if token != self.token else self._former_token

    async def _keep(self, document: NodeDocument, tokens: tuple[str, str]) -> None:
        """On disk before it counts: with the first use of a token the one before is good no more."""
        fields: dict[str, Any] = {"name": document.name, "draining": document.draining, "heard": document.generation}
        token, former = tokens
        await asyncio.to_thread(identity.change, self._state_dir, **fields, token=token, former_token=former)

    async def _drain(self, draining: bool) -> None:
        if draining != self.draining:
            self.draining = draining
            log.info("draining: nothing new begins here" if draining else "not draining any more")
            await self._on_drain(draining)

    def _fail(self, incident: str) -> None:
        if incident != self._incident:
            log.error("%s", incident)
        self._incident = incident
