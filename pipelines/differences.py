"""What changed from one edition of a pipeline to another, in words of the form; pure functions on their JSON."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from difflib import SequenceMatcher, unified_diff
from typing import Any

from django.db.models import Model
from django.utils.text import capfirst
from django.utils.translation import gettext as _

from pipelines.models import Pipeline, Step
from tasks.models import Task

UNTOLD = {"type", "format", "pipeline", "node", "generation", "not_before", "steps", "on_success", "on_failure", "task"}
"""Names and numbers of no interest, and the parts that are compared one by one."""

CONTEXT = 3
"""Equal lines shown around a change of a text."""


@dataclass(frozen=True)
class Change:
    """One field. ``lines``, of longer texts, are (sign, text) as in a patch."""

    label: str
    before: str = ""
    after: str = ""
    lines: tuple[tuple[str, str], ...] = ()


@dataclass(frozen=True)
class Group:
    """The pipeline itself, or one of its steps. ``kind``: changed, added or removed."""

    title: str
    kind: str
    changes: tuple[Change, ...] = ()


Document = Mapping[str, Any]


def between(before: Document, after: Document) -> list[Group]:
    """Empty when only what nobody defines has changed."""
    found = [Group(_("The pipeline"), "changed", tuple(_changes(before, after, Pipeline)))]
    found += _steps(before.get("steps", ()), after.get("steps", ()))
    for name in ("on_success", "on_failure"):
        found.append(_ending(_label(Pipeline, name), before.get(name), after.get(name)))
    return [group for group in found if group.changes or group.kind != "changed"]


def _steps(before: Sequence[Document], after: Sequence[Document]) -> Iterator[Group]:
    """The same task in the same order is the same step."""
    old_tasks, new_tasks = ([step["task"]["id"] for step in steps] for steps in (before, after))
    for kind, first, last, begin, end in SequenceMatcher(None, old_tasks, new_tasks, autojunk=False).get_opcodes():
        if kind == "equal":
            for place, (old, new) in enumerate(zip(before[first:last], after[begin:end], strict=True), begin):
                yield Group(_title(place, new), "changed", (*_changes(old, new, Step), *_of_task(old, new)))
        else:
            yield from (Group(_title(place, before[place]), "removed") for place in range(first, last))
            yield from (Group(_title(place, after[place]), "added") for place in range(begin, end))


def _title(place: int, step: Document) -> str:
    return _("Step %(number)d: %(name)s") % {"number": place + 1, "name": step["task"]["name"]}


def _of_task(old: Document, new: Document) -> Iterator[Change]:
    return _changes(old["task"], new["task"], Task)


def _ending(title: str, old: Document | None, new: Document | None) -> Group:
    if old and new and old["id"] == new["id"]:
        return Group(f"{title}: {new['name']}", "changed", tuple(_changes(old, new, Task)))
    names = Change(title, old["name"] if old else "", new["name"] if new else "")
    return Group(title, "changed", (names,) if old or new else ())


def _changes(before: Document, after: Document, model: type[Model]) -> Iterator[Change]:
    names = [name for name in {**before, **after} if name not in UNTOLD]
    for name in names:
        old, new = (_text(document, name, model) for document in (before, after))
        if old == new:
            continue
        if "\n" in old or "\n" in new:
            yield Change(_label(model, name), lines=tuple(_patch(old, new)))
        else:
            yield Change(_label(model, name), old, new)


def _patch(old: str, new: str) -> Iterator[tuple[str, str]]:
    lines = list(unified_diff(old.splitlines(), new.splitlines(), lineterm="", n=CONTEXT))
    for line in lines[3:]:
        yield (" ", "⋯") if line.startswith("@@") else (line[0], line[1:])


def _text(document: Document, name: str, model: type[Model]) -> str:
    """As in the form: the words of a choice, ``name=value`` lines. What is left out is the default."""
    value = document.get(name)
    if value in (None, "", [], {}):
        return ""
    if isinstance(value, dict):
        return "\n".join(f"{key}={one}" for key, one in value.items())
    if isinstance(value, list):
        return "\n".join(", ".join(map(str, one.values())) if isinstance(one, dict) else str(one) for one in value)
    if isinstance(value, bool):
        return _("yes") if value else _("no")
    choices = dict(getattr(_field(model, name), "flatchoices", ()) or ())
    return str(choices.get(value, value))


def _label(model: type[Model], name: str) -> str:
    field = _field(model, name)
    return str(capfirst(field.verbose_name if field is not None else name.replace("_", " ")))


def _field(model: type[Model], name: str) -> Any:
    return next((field for field in model._meta.fields if field.name == name), None)
