"""What is asked of the journal: the filters of its page and of the API, as text, and what they mean."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime
from uuid import UUID

from audit.models import Entry
from audit.pages import Wanted, named
from audit.watched import KINDS
from logs import days

NAMES = ("person", "kind", "object", "what", "day", "act")


@dataclass(frozen=True)
class Question:
    """As it was asked; what cannot be understood is as if it had not been."""

    person: str = ""
    kind: str = ""
    object: str = ""
    what: str = ""
    day: date | None = None
    act: UUID | None = None

    @property
    def is_narrowed(self) -> bool:
        """Whether anything was asked."""
        return self != Question()

    def texts(self) -> dict[str, str]:
        """As parameters of an address."""
        given = {name: getattr(self, name) for name in NAMES}
        return {name: str(value) for name, value in given.items() if value}

    def wanted(self, visible: Sequence[str], begins: datetime | None = None, ends: datetime | None = None) -> Wanted:
        """Of what the viewer may see. ``begins`` and ``ends`` are instants; those of the day without them."""
        kinds = [kind for kind in visible if self.kind in ("", kind)]
        if self.day is not None:
            begins, ends = days.bounds(self.day)
        return Wanted(kinds, self.what, self.person, self._objects(kinds), begins, ends, self.act)

    def _objects(self, kinds: Sequence[str]) -> list[tuple[str, str]] | None:
        """By key or by name."""
        if not self.object:
            return None
        keys = [(self.kind, self.object)] if self.kind in kinds else []
        return sorted({*keys, *named(kinds, self.object)})


def asked(parameters: Mapping[str, str]) -> Question:
    """From an address."""
    given = {name: parameters.get(name, "").strip() for name in NAMES}
    return Question(
        person=given["person"][:150],
        kind=given["kind"] if given["kind"] in KINDS else "",
        object=given["object"][:200],
        what=given["what"] if given["what"] in Entry.What.values else "",
        day=days.parsed(given["day"]),
        act=_uuid(given["act"]),
    )


def key(text: str) -> int | None:
    """Of an entry at the edge of a page."""
    return int(text) if text.isascii() and text.isdecimal() and len(text) < 19 else None


def _uuid(text: str) -> UUID | None:
    try:
        return UUID(text)
    except ValueError:
        return None
