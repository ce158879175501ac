"""Which documents and commands this node acts on: signed by the console, meant for it, and newer than what it has.

Being able to write to etcd is not enough to run something on a worker (DESIGN: signatures cover node id and
generation, and for commands the expiry). Every refusal is a ``coordination.crypto.Refused`` with a sentence.
"""

from collections.abc import Callable, Mapping
from contextlib import suppress
from datetime import datetime
from types import MappingProxyType
from typing import TypeVar

from msgspec import DecodeError

from coordination import crypto, documents
from coordination.crypto import Refused
from coordination.documents import FORMAT, Command, Document, NodeDocument, PipelineDocument, RunCommand, SharedConfig

T = TypeVar("T")


class Acceptance:
    """Checks envelopes for one node. ``verify_keys`` maps key ids to Ed25519 verify keys (32 bytes), ``former_keys``
    likewise those that count no more: only for what this node has taken before. Both may change meanwhile."""

    def __init__(
        self, node: str, verify_keys: Mapping[str, bytes], former_keys: Mapping[str, bytes] = MappingProxyType({})
    ) -> None:
        self._node = node
        self._keys = verify_keys
        self._former = former_keys

    def document(self, envelope: bytes, pipeline: str, held: int) -> Document:
        """A document or tombstone for ``pipeline``, of generation ``held`` (the newest seen) or newer."""
        document = _decode(documents.decode_document, crypto.verify("pipeline", envelope, self._keys))
        self._check(document.node)
        if document.pipeline != pipeline:
            raise Refused(f"it belongs to pipeline {document.pipeline}, not to the key it stands under")
        if document.generation < held:
            raise Refused(f"it is older (generation {document.generation}) than what this node has seen ({held})")
        return document

    def command(self, envelope: bytes, command_id: str, now: datetime) -> Command:
        """A command that has not expired."""
        command = _decode(documents.decode_command, crypto.verify("command", envelope, self._keys))
        self._check(command.node)
        if command.id != command_id:
            raise Refused(f"it is command {command.id}, not the one it stands under")
        if command.expires_at <= now:
            raise Refused(f"it expired at {command.expires_at.isoformat()}")
        if isinstance(command, RunCommand):
            self._check(command.document.node)
            if command.document.format > FORMAT:
                raise Refused(_too_new(command.document.format, ""))
        return command

    def config(self, envelope: bytes, held: int) -> SharedConfig:
        """Shared settings of generation ``held`` or newer."""
        config = _decode(documents.decode_config, crypto.verify("config", envelope, self._keys))
        if config.generation < held:
            raise Refused(f"it is older (generation {config.generation}) than what this node has seen ({held})")
        return config

    def node(self, envelope: bytes, held: int) -> NodeDocument:
        """What the console wants of this node, of generation ``held`` or newer."""
        document = _decode(documents.decode_node, crypto.verify("node", envelope, self._keys))
        self._check(document.node)
        if document.generation < held:
            raise Refused(f"it is older (generation {document.generation}) than what this node has heard ({held})")
        return document

    def cached(self, envelope: bytes) -> PipelineDocument | None:
        """A document from this node's own cache; None when it can no longer be accepted."""
        try:
            document = _decode(documents.decode_document, crypto.verify("pipeline", envelope, self._ever()))
            self._check(document.node)
        except Refused:
            return None
        return document if isinstance(document, PipelineDocument) else None

    def cached_config(self, envelope: bytes) -> SharedConfig | None:
        """Shared settings likewise."""
        try:
            return _decode(documents.decode_config, crypto.verify("config", envelope, self._ever()))
        except Refused:
            return None

    def _ever(self) -> dict[str, bytes]:
        return {**self._former, **self._keys}

    def _check(self, node: str) -> None:
        if node != self._node:
            raise Refused(f"it is meant for node {node}, not for this one")


def _decode(decoder: Callable[[bytes], T], body: bytes) -> T:
    """Of a format that this worker knows; one that it does not know may be anything, and is told first."""
    header = None
    with suppress(DecodeError):
        header = documents.decode_header(body)
    if header is not None and header.format > FORMAT:
        raise Refused(_too_new(header.format, header.needs))
    try:
        return decoder(body)
    except DecodeError as error:
        raise Refused(f"its content is not understood: {error}") from None


def _too_new(written: int, needs: str) -> str:
    version = f"of version {needs} or newer" if needs else "of a newer version"
    known = f"its format {written} is newer than this worker knows ({FORMAT})"
    return f"it needs a worker {version}: {known}; update the worker"
