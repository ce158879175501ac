"""What changed from one edition of a pipeline to another, in words of the form; pure functions on their JSON."""

from collections.abc import Iterator, Mapping, Sequence
from difflib import SequenceMatcher
from typing import Any

from django.db.models import Model
from django.utils.translation import gettext as _

from pipelines.field_changes import Change, Group, change, label
from pipelines.models import Pipeline, Step
from tasks.models import Task

UNTOLD = {"type", "format", "pipeline", "node", "generation", "not_before", "steps", "on_success", "on_failure", "task"}
"""Names and numbers of no interest, and the parts that are compared one by one."""

Document = Mapping[str, Any]


def between(before: Document, after: Document) -> list[Group]:
    """Empty when only what nobody defines has changed."""
    found = [Group(_("The pipeline"), "changed", tuple(_changes(before, after, Pipeline)))]
    found += _steps(before.get("steps", ()), after.get("steps", ()))
    for name in ("on_success", "on_failure"):
        found.append(_ending(label(Pipeline, name), before.get(name), after.get(name)))
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
    for name in {**before, **after}:
        found = None if name in UNTOLD else change(model, name, before.get(name), after.get(name))
        if found is not None:
            yield found
