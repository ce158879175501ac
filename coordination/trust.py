"""How workers learn whom to trust when the console's signing key is replaced.

A new key is vouched for by the one before it: a *link*. Whoever trusts any key of the chain reaches the newest along
the links, however long it was away. A *statement*, signed by the key that signs at the time, lists the keys that count;
what it does not list is trusted no more. Both are envelopes of ``coordination.crypto``.
"""

from collections.abc import Iterable, Mapping

from msgspec import DecodeError, Struct, json

from coordination import crypto
from coordination.crypto import Refused, Signer

KEY_BYTES = 32


class Notice(Struct, frozen=True, kw_only=True):
    """What the console tells a node that does not trust just the keys that count. ``links`` from the oldest on."""

    links: tuple[bytes, ...] = ()
    statement: bytes


class Statement(Struct, frozen=True, kw_only=True):
    """The verify keys that count. ``generation`` grows with every change of them."""

    generation: int
    keys: tuple[bytes, ...]

    @property
    def by_id(self) -> dict[str, bytes]:
        """The keys by their ids."""
        return {crypto.key_id(key): key for key in self.keys}


def link(signer: Signer, verify_key: bytes) -> bytes:
    """``signer`` vouches for a new key."""
    return signer.sign("key", verify_key.hex().encode())


def state(signer: Signer, generation: int, keys: Iterable[bytes]) -> bytes:
    """The statement, signed."""
    return signer.sign("trust", json.encode(Statement(generation=generation, keys=tuple(keys))))


def read(notice: Notice, trusted: Mapping[str, bytes], held: int) -> Statement:
    """What a node that trusts these keys is to believe. ``held`` is the generation of the last statement it took.

    Raises Refused when no link leads from what it trusts to the statement, or the statement is an old one.
    """
    body = crypto.verify("trust", notice.statement, _reached(notice.links, trusted))
    try:
        statement = json.decode(body, type=Statement)
    except DecodeError as error:
        raise Refused(f"its content is not understood: {error}") from None
    if statement.generation < held:
        raise Refused(f"it is older (generation {statement.generation}) than what this node has seen ({held})")
    if not statement.keys or any(len(key) != KEY_BYTES for key in statement.keys):
        raise Refused("it lists no keys, or what is none")
    return statement


def _reached(links: Iterable[bytes], trusted: Mapping[str, bytes]) -> dict[str, bytes]:
    """The trusted keys, and those that they vouch for, and so on."""
    reached = dict(trusted)
    for envelope in links:
        try:
            key = bytes.fromhex(crypto.verify("key", envelope, reached).decode())
        except (Refused, ValueError):
            continue  # of an older part of the chain, which this node has forgotten
        reached[crypto.key_id(key)] = key
    return reached
