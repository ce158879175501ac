"""Finds runs by what people type: an id, or words of a pipeline's or a node's name.

Names are looked up where they are few, among pipelines and nodes; the history itself is only asked for ids, for which
it has indexes. Who knows the names says so at the start (``register``): this app knows neither of the two.
"""

from collections.abc import Callable, Iterable
from typing import Literal
from uuid import UUID

from django.db.models import QuerySet

from logs.models import Run

MOST = 20
"""Pipelines, and nodes, that one search takes in."""

OF_EACH = 20
"""Runs of each that it finds."""

OFFERED = 200
"""Names that a field offers; others can be typed."""

Kind = Literal["pipeline", "node"]
PIPELINE: Kind = "pipeline"
NODE: Kind = "node"
Finder = Callable[[str, int], Iterable[tuple[UUID, str]]]
"""The ids and names of those whose name holds the text, in order of names, so many at the most."""

_finders: dict[Kind, Finder] = {}


def register(kind: Kind, finder: Finder) -> None:
    """From now on names of this kind can be searched for."""
    _finders[kind] = finder


def search(runs: QuerySet[Run], text: str) -> QuerySet[Run]:
    """Those of the runs that the text names: by an id all, by a name the newest of each that has it; all of them for
    an empty text."""
    text = text.strip()
    if not text:
        return runs
    if (given := _uuid(text)) is not None:
        for field in ("uuid", "pipeline", "node"):
            if Run.objects.filter(**{field: given}).exists():
                return runs.filter(**{field: given})
        return runs.none()
    found = [(kind, one) for kind, finder in _finders.items() for one, _name in finder(text, MOST)]
    return runs.filter(pk__in=[pk for kind, one in found for pk in _newest(kind, one)])


def is_of_names(text: str) -> bool:
    """Whether ``search`` finds the newest runs of what has such a name, not all of them."""
    return bool(text.strip()) and _uuid(text.strip()) is None


def names(kind: Kind) -> list[str]:
    """The first ones, to choose from."""
    return [name for _one, name in _found(kind, "", OFFERED)]


def named(kind: Kind, text: str) -> UUID | None:
    """The one of this id or name, or the only one whose name holds the text."""
    if (given := _uuid(text)) is not None:
        return given
    found = _found(kind, text, OFFERED)
    same = [one for one, name in found if name.lower() == text.lower()]
    return next(iter(same), found[0][0] if len(found) == 1 else None)


def name_of(kind: Kind, text: str) -> str:
    """What people call the one of this id, as long as the history knows; else the text itself."""
    given = _uuid(text)
    if given is None:
        return text
    rows = Run.objects.filter(pipeline=given) if kind == PIPELINE else Run.objects.filter(node=given)
    return rows.order_by("-pk").values_list(f"{kind}_name", flat=True).first() or text


def _found(kind: Kind, text: str, most: int) -> list[tuple[UUID, str]]:
    return list(_finders[kind](text, most)) if kind in _finders else []


def _newest(kind: Kind, one: UUID) -> Iterable[int]:
    """By the index; the rows of several in one order would have to be sorted, however many they are."""
    rows = Run.objects.filter(pipeline=one) if kind == "pipeline" else Run.objects.filter(node=one)
    return rows.order_by("-pk").values_list("pk", flat=True)[:OF_EACH]


def _uuid(text: str) -> UUID | None:
    try:
        return UUID(text)
    except ValueError:
        return None
