"""Encryption at rest under keys that can be replaced: the newest encrypts, all of them decrypt."""

from collections.abc import Callable, Sequence
from contextlib import suppress

from coordination import crypto
from coordination.crypto import CannotOpen


class AtRest:
    """``read`` gives the keys of the installation, 32 bytes each, the newest first.

    They are read again for whatever the known ones do not open: another process may have replaced them meanwhile.
    """

    def __init__(self, read: Callable[[], Sequence[bytes]]) -> None:
        self._read = read
        self._keys = tuple(read())

    @property
    def newest(self) -> bytes:
        """The key that encrypts."""
        return self._keys[0]

    def encrypt(self, value: bytes) -> bytes:
        """Under the newest key there is now."""
        self._keys = tuple(self._read())
        return crypto.encrypt(self.newest, value)

    def decrypt(self, value: bytes) -> bytes:
        """Raises CannotOpen when no key opens it."""
        try:
            return self._open(value)
        except CannotOpen:
            self._keys = tuple(self._read())
            return self._open(value)

    def is_newest(self, value: bytes) -> bool:
        """Whether it is encrypted under the newest key there is now."""
        self._keys = tuple(self._read())
        with suppress(CannotOpen):
            crypto.decrypt(self.newest, value)
            return True
        return False

    def _open(self, value: bytes) -> bytes:
        for key in self._keys:
            with suppress(CannotOpen):
                return crypto.decrypt(key, value)
        raise CannotOpen("it was encrypted under another key or is damaged")
