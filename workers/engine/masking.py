"""Secret values never leave the worker: they are starred in output and in reasons."""

import re
from collections.abc import Iterable

STARS = b"***"
_LINE_WORTH_MASKING = 8


class Secrets:
    """The values to hide. A value of several lines is hidden as a whole and, where a line is long enough, by line."""

    def __init__(self, values: Iterable[str]) -> None:
        self.patterns = sorted(_patterns(values), key=lambda pattern: (-len(pattern), pattern))
        self.longest = len(self.patterns[0]) if self.patterns else 0
        # The longest first: of two secrets that begin alike, the whole of the longer one is hidden.
        self.found = re.compile(b"|".join(map(re.escape, self.patterns))) if self.patterns else None
        first_bytes = b"".join(re.escape(pattern[:1]) for pattern in self.patterns)
        self.beginning = re.compile(b"[" + first_bytes + b"]") if self.patterns else None

    def text(self, text: str) -> str:
        """The text without the secrets."""
        if self.found is None:
            return text
        return self.found.sub(STARS, text.encode("utf-8", "surrogateescape")).decode("utf-8", "replace")


class Masker:
    """Hides secrets in a stream that comes in pieces of any size; a secret may lie across them."""

    def __init__(self, secrets: Secrets) -> None:
        self._secrets = secrets
        self._held = b""

    def feed(self, data: bytes) -> bytes:
        """What can be shown now. Only an end that may be the beginning of a secret is held back."""
        if self._secrets.found is None:
            return data
        buffer = self._held + data
        beginnings = self._open_beginnings(buffer)
        shown, position = [], 0
        for match in self._secrets.found.finditer(buffer):
            if match.start() >= _first_from(beginnings, position, len(buffer)):
                break
            shown += [buffer[position : match.start()], STARS]
            position = match.end()
        hold = _first_from(beginnings, position, len(buffer))
        shown.append(buffer[position:hold])
        self._held = buffer[hold:]
        return b"".join(shown)

    def finish(self) -> bytes:
        """The rest, once nothing more can come."""
        rest, self._held = self._held, b""
        return self._secrets.found.sub(STARS, rest) if self._secrets.found else rest

    def _open_beginnings(self, buffer: bytes) -> list[int]:
        """Where a secret may begin that is not complete yet, in order."""
        assert self._secrets.beginning is not None
        start = max(len(buffer) - self._secrets.longest + 1, 0)
        return [
            match.start()
            for match in self._secrets.beginning.finditer(buffer, start)
            if any(pattern.startswith(buffer[match.start() :]) for pattern in self._longer(len(buffer) - match.start()))
        ]

    def _longer(self, length: int) -> list[bytes]:
        return [pattern for pattern in self._secrets.patterns if len(pattern) > length]


def _first_from(positions: list[int], start: int, default: int) -> int:
    return next((position for position in positions if position >= start), default)


def _patterns(values: Iterable[str]) -> set[bytes]:
    patterns = set()
    for value in values:
        whole = value.strip()
        lines = [line.strip() for line in whole.splitlines()]
        patterns.update([whole, *(line for line in lines if len(line) >= _LINE_WORTH_MASKING)])
    return {pattern.encode("utf-8", "surrogateescape") for pattern in patterns if pattern}
