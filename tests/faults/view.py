"""What etcd holds, seen from outside. Whatever cannot be read now, for want of an etcd, is None."""

from collections.abc import Mapping

from coordination import crypto, documents, fires
from coordination.documents import PipelineDocument, Presence
from coordination.errors import CoordinationError
from coordination.etcd import SyncEtcd
from coordination.fires import Epoch, FireRecord
from coordination.gateway import EtcdSettings
from coordination.keys import Keys


class View:
    """Reads as the console would. Close it at the end."""

    def __init__(self, settings: EtcdSettings) -> None:
        self._keys = Keys()
        self._gateway = SyncEtcd(settings)

    def close(self) -> None:
        """Frees the connection."""
        self._gateway.close()

    def document(self, node: str, pipeline: str, verify_keys: Mapping[str, bytes]) -> PipelineDocument | None:
        """A pipeline as this node is told of it; None, too, when it is told to forget it."""
        value = self._read(self._keys.pipeline(node, pipeline))
        if value is None:
            return None
        document = documents.decode_document(crypto.verify("pipeline", value, verify_keys))
        return document if isinstance(document, PipelineDocument) else None

    def record(self, pipeline: str) -> FireRecord | None:
        """The one record of a shared pipeline."""
        value = self._read(self._keys.fires(pipeline))
        return None if value is None else fires.decode(value)

    def presence(self, node: str) -> Presence | None:
        """What a node says of itself while it lives."""
        value = self._read(self._keys.node(node))
        return None if value is None else documents.decode_presence(value)

    def leading_master(self) -> Presence | None:
        """The master that leads."""
        value = self._read(self._keys.election())
        return None if value is None else self.presence(value.decode())

    def epoch(self) -> Epoch | None:
        """The identity of this filling of etcd."""
        value = self._read(self._keys.epoch())
        return None if value is None else fires.decode_epoch(value)

    def revision(self) -> int:
        """Of etcd, now. Raises CoordinationError."""
        return self._gateway.snapshot(self._keys.probe()).revision

    def _read(self, key: str) -> bytes | None:
        try:
            item = self._gateway.get(key)
        except CoordinationError:
            return None
        return item.value if item else None
