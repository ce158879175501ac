"""An entry's parts as groups of changes in words: what was done twice in one act is told once, as a whole."""

from collections.abc import Iterable, Iterator, Sequence
from difflib import SequenceMatcher
from typing import Any

from django.apps import apps
from django.db.models import Model
from django.utils.text import capfirst
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy

from audit.models import Entry, Part
from pipelines.field_changes import Change, Group, change, label

ADDED, CHANGED, DELETED = Entry.What.ADDED, Entry.What.CHANGED, Entry.What.DELETED

GROUP_KINDS: dict[str, str] = {ADDED: "added", DELETED: "removed"}

TITLES = {"pipelines.step": {"task", "position"}, "pipelines.binding": {"node"}}
"""Fields that the title of a part tells already when it came or went; of an object its name."""

LABELS = {
    "nodes": gettext_lazy("Nodes"),
    "runs": gettext_lazy("Runs"),
    "environment_names": gettext_lazy("Variables given"),
    "token_digest": gettext_lazy("Token"),
    "next_token_digest": gettext_lazy("Next token"),
    "public_key": gettext_lazy("Key"),
    "verify_key": gettext_lazy("Key"),
    "ciphertext": gettext_lazy("Value"),
    "signature": gettext_lazy("Signature"),
    "key_id": gettext_lazy("Key id"),
    "signed_by": gettext_lazy("Signed by"),
    "machine_id": gettext_lazy("Machine"),
}
"""Of fields that no form has."""


def groups(parts: Iterable[Part], kind: str) -> list[Group]:
    """The object of this kind first, then its steps and the like, in order."""
    told = [piece for piece in _paired(_merged(parts)) if piece.fields or piece.what != CHANGED]
    found = [_group(piece, kind) for piece in told]
    return [group for group in found if group.changes or group.kind != "changed"]


def _merged(parts: Iterable[Part]) -> list[Part]:
    """One for each piece: what it was before the act, and after."""
    found: dict[tuple[str, str], Part] = {}
    for place, each in enumerate(parts):
        key = (each.model, each.key or f"#{place}")
        known = found.get(key)
        found[key] = each if known is None else _both(known, each)
    return [each for each in found.values() if each.what != ""]


def _both(first: Part, last: Part) -> Part:
    """What came and went within one act was never there."""
    what = last.what if first.what != ADDED else "" if last.what == DELETED else ADDED
    fields = {**first.fields}
    for name, value in last.fields.items():
        fields[name] = _joined(fields[name], value) if name in fields else value
    fields = {name: value for name, value in fields.items() if value is not None}
    return Part(model=last.model, key=last.key, title=last.title or first.title, what=what, fields=fields)


def _joined(first: Any, last: Any) -> Any:
    """None when it is again as it was."""
    if isinstance(first, list) and isinstance(last, list):
        return None if first[0] == last[1] else [first[0], last[1]]
    if isinstance(first, dict) and isinstance(last, dict) and first.keys() & last.keys() == {"lines"}:
        return {"lines": [*first["lines"], *last["lines"]]}
    if isinstance(first, dict) and isinstance(last, dict) and "hidden" not in last:
        more = {*first.get("more", ()), *last.get("more", ())}
        less = {*first.get("less", ()), *last.get("less", ())}
        return {"more": sorted(more - less), "less": sorted(less - more)} if more != less else None
    return last


def _paired(parts: Sequence[Part]) -> list[Part]:
    """A piece that was taken out and put in again, as the API does with steps, has changed, or not even that."""
    gone = [each for each in parts if each.what == DELETED]
    come = [each for each in parts if each.what == ADDED]
    matcher = SequenceMatcher(None, [_name(each) for each in gone], [_name(each) for each in come], autojunk=False)
    pairs = {
        id(come[block.b + offset]): gone[block.a + offset]
        for block in matcher.get_matching_blocks()
        for offset in range(block.size)
    }
    paired = {id(old) for old in pairs.values()}
    found = [each for each in parts if id(each) not in paired]
    return [_replaced(pairs[id(each)], each) if id(each) in pairs else each for each in found]


def _name(each: Part) -> tuple[str, str]:
    """Without a step's number."""
    number, dot, rest = each.title.partition(". ")
    return each.model, rest if dot and number.isdecimal() else each.title


def _replaced(old: Part, new: Part) -> Part:
    model = apps.get_model(new.model)
    fields: dict[str, Any] = {}
    for name in {**old.fields, **new.fields}:
        before, after = (
            each.fields[name][side] if name in each.fields else model._meta.get_field(name).get_default()  # type: ignore[union-attr]
            for each, side in ((old, 0), (new, 1))
        )
        if before != after:
            fields[name] = [before, after]
    return Part(model=new.model, key=new.key, title=new.title, what=CHANGED, fields=fields)


def _group(piece: Part, kind: str) -> Group:
    model = apps.get_model(piece.model)
    title = "" if piece.model == kind else f"{capfirst(str(model._meta.verbose_name))}: {piece.title}"
    fields = piece.fields
    if piece.what in GROUP_KINDS:
        titles = TITLES.get(piece.model, {"name"})
        fields = {name: value for name, value in fields.items() if name not in titles}
    return Group(title, GROUP_KINDS.get(piece.what, "changed"), tuple(_changes(model, fields)))


def _changes(model: type[Model], fields: dict[str, Any]) -> Iterator[Change]:
    for name, value in fields.items():
        told = _change(model, name, value)
        if told is not None:
            yield told


def _change(model: type[Model], name: str, value: Any) -> Change | None:
    words = str(LABELS[name]) if name in LABELS else label(model, name)
    if isinstance(value, list):
        found = change(model, name, *value)
        return found and Change(words, found.before, found.after, found.lines)
    if "hidden" in value:
        was, is_set = value["hidden"]
        if was and is_set:
            return Change(words, _("not shown"), _("another one"))
        return Change(words, _("set") if was else "", _("set") if is_set else "")
    if "lines" in value:
        return Change(words, lines=tuple((sign, text) for sign, text in value["lines"]))
    members = [("-", one) for one in value.get("less", ())] + [("+", one) for one in value.get("more", ())]
    return Change(words, lines=tuple(members))
