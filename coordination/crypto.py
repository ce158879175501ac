"""Signatures, sealed secrets and encryption at rest (PyNaCl: Ed25519, X25519 SealedBox, XSalsa20-Poly1305).

A signature covers the purpose and the exact bytes of the body; the body names node and generation (or expiry), so
that a document can neither be altered, nor replayed, nor moved to another node.
"""

import base64
import hashlib
import hmac
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

from msgspec import DecodeError, Struct, json
from nacl.exceptions import BadSignatureError, CryptoError
from nacl.public import PrivateKey, PublicKey, SealedBox
from nacl.secret import SecretBox
from nacl.signing import SigningKey, VerifyKey

Purpose = Literal["pipeline", "command", "config", "node", "key", "trust"]


class Refused(Exception):
    """An envelope that must not be acted on; the sentence says why."""


class CannotOpen(Exception):
    """A sealed or encrypted value that this key does not open."""


class _Envelope(Struct, frozen=True):
    key: str
    signature: bytes
    body: str


_envelope = json.Decoder(_Envelope)


@dataclass(frozen=True, slots=True)
class Signer:
    """The console's Ed25519 key. ``seed`` is 32 bytes."""

    seed: bytes

    @property
    def verify_key(self) -> bytes:
        """The public half, 32 bytes."""
        return bytes(SigningKey(self.seed).verify_key)

    @property
    def key_id(self) -> str:
        """Names the key in envelopes."""
        return key_id(self.verify_key)

    def sign(self, purpose: Purpose, body: bytes) -> bytes:
        """The envelope, JSON, ready to be put into etcd."""
        signature = SigningKey(self.seed).sign(_message(purpose, body)).signature
        return json.encode(_Envelope(self.key_id, signature, body.decode()))


def key_id(verify_key: bytes) -> str:
    """The first 16 hexadecimal digits of the SHA-256 of a verify key."""
    return hashlib.sha256(verify_key).hexdigest()[:16]


def signed_by(envelope: bytes) -> str:
    """The id of the key that an envelope names, which proves nothing; empty for what is no envelope."""
    try:
        return _envelope.decode(envelope).key
    except DecodeError:
        return ""


def verify(purpose: Purpose, envelope: bytes, keys: Mapping[str, bytes]) -> bytes:
    """The body of a signed envelope. ``keys`` maps key ids to verify keys. Raises Refused with the reason."""
    try:
        parsed = _envelope.decode(envelope)
    except DecodeError:
        raise Refused("it is not a signed document") from None
    if parsed.key not in keys:
        raise Refused(f"it is signed by key {parsed.key[:16]!r}, which this node does not know")
    body = parsed.body.encode()
    try:
        VerifyKey(keys[parsed.key]).verify(_message(purpose, body), parsed.signature)
    except (BadSignatureError, ValueError):
        raise Refused("its signature does not match its content") from None
    return body


def _message(purpose: Purpose, body: bytes) -> bytes:
    return b"ects:" + purpose.encode() + b"\0" + body


def new_node_key() -> tuple[bytes, bytes]:
    """A node's ``(private, public)`` X25519 keys, 32 bytes each."""
    private = PrivateKey.generate()
    return bytes(private), bytes(private.public_key)


def seal(public_key: bytes, value: str) -> str:
    """The value for one node's eyes only, base64."""
    return base64.b64encode(SealedBox(PublicKey(public_key)).encrypt(value.encode())).decode()


def unseal(private_key: bytes, sealed: str) -> str:
    """Raises CannotOpen when the value was sealed for another key or is damaged."""
    try:
        return SealedBox(PrivateKey(private_key)).decrypt(base64.b64decode(sealed)).decode()
    except (CryptoError, ValueError, TypeError):
        raise CannotOpen("it was sealed for another node key or is damaged") from None


def encrypt(key: bytes, value: bytes) -> bytes:
    """Encryption at rest under a 32-byte key, authenticated."""
    return bytes(SecretBox(key).encrypt(value))


def decrypt(key: bytes, value: bytes) -> bytes:
    """Raises CannotOpen under another key or when the value is damaged."""
    try:
        return bytes(SecretBox(key).decrypt(value))
    except (CryptoError, ValueError, TypeError):
        raise CannotOpen("it was encrypted under another key or is damaged") from None


def digest(key: bytes, plain: bytes) -> str:
    """HMAC-SHA256 of a plain rendering, hexadecimal: compares documents without revealing their secrets."""
    return hmac.new(key, plain, hashlib.sha256).hexdigest()
