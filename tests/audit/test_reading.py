"""Parts of one act become what the act came to."""

from audit import reading
from audit.models import Part
from pipelines.field_changes import Change

STEP, PIPELINE = "pipelines.step", "pipelines.pipeline"


def _told(*parts: Part) -> list[tuple[str, str, tuple[Change, ...]]]:
    return [(group.title, group.kind, group.changes) for group in reading.groups(parts, PIPELINE)]


def _part(what: str, fields: object, key: str = "1", model: str = PIPELINE, title: str = "p") -> Part:
    return Part(model=model, key=key, what=what, title=title, fields=fields)


def test_several_changes_of_a_field_are_one() -> None:
    parts = [_part("changed", {"schedule": ["a", "b"]}), _part("changed", {"schedule": ["b", "c"], "paused": [0, 1]})]
    assert [(change.label, change.before, change.after) for _, _, changes in _told(*parts) for change in changes] == [
        ("Schedule", "a", "c"),
        ("Paused", "0", "1"),
    ]


def test_what_is_as_it_was_is_no_change() -> None:
    parts = [_part("changed", {"enabled": [True, False]}), _part("changed", {"enabled": [False, True]})]
    assert _told(*parts) == []


def test_what_came_and_changed_came_as_it_is() -> None:
    parts = [_part("added", {"name": [None, "p"]}), _part("changed", {"enabled": [False, True]})]
    [(_, kind, [change])] = _told(*parts)
    assert (kind, change.label, change.after) == ("added", "Enabled", "yes")


def test_what_came_and_went_was_never_there() -> None:
    step = {"key": "5", "model": STEP, "title": "1. dump"}
    assert (
        _told(_part("added", {"task": [None, "dump"]}, **step), _part("deleted", {"task": ["dump", None]}, **step))
        == []
    )


def test_what_is_put_in_anew_is_compared() -> None:
    """Nothing is told of one that is the same again; a default that went is told by its value."""
    gone = [
        _part("deleted", {"task": ["dump", None], "retries": [2, None]}, "1", STEP, "1. dump"),
        _part("deleted", {"task": ["load", None]}, "2", STEP, "2. load"),
    ]
    come = [
        _part("added", {"task": [None, "dump"]}, "3", STEP, "1. dump"),
        _part("added", {"task": [None, "load"]}, "4", STEP, "2. load"),
    ]
    [(title, kind, [change])] = _told(*gone, *come)
    assert (title, kind) == ("Step: 1. dump", "changed")
    assert (change.label, change.before, change.after) == ("Retries", "2", "0")


def test_lists_come_to_what_is_left() -> None:
    parts = [
        _part("changed", {"calendars": {"more": ["a", "b"]}}),
        _part("changed", {"calendars": {"less": ["b", "c"]}}),
    ]
    [(_, _, [change])] = _told(*parts)
    assert change.lines == (("-", "c"), ("+", "a"))


def test_keys_that_a_database_does_not_tell_are_no_ones() -> None:
    parts = [_part("added", {"task": [None, name]}, "", STEP, f"{at}. {name}") for at, name in enumerate("ab")]
    assert [title for title, _, _ in _told(*parts)] == ["Step: 0. a", "Step: 1. b"]
