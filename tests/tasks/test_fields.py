"""Maps and lists in text areas."""

import pytest
from django.core.exceptions import ValidationError
from hypothesis import given
from hypothesis import strategies as st

from tasks.fields import ListField, MapField

TEXTS = st.text(
    alphabet=st.one_of(st.sampled_from('=:{}\r\n "A'), st.characters(exclude_categories=["Cs"])), max_size=9
)


@pytest.mark.parametrize("separator", ["=", ":"])
@given(value=st.dictionaries(TEXTS, TEXTS, max_size=4))
def test_what_is_shown_is_what_is_meant(separator, value):
    field = MapField(separator=separator)
    posted = field.prepare_value(value).replace("\r\n", "\n").replace("\r", "\n").replace("\n", "\r\n")
    assert field.to_python(posted) == value
    assert not field.has_changed(value, posted)


def test_lines_and_json():
    headers = MapField(separator=":")
    assert headers.to_python("X-A: 1\n\nX-B:a:b\n") == {"X-A": "1", "X-B": "a:b"}
    assert headers.to_python('{"X-A": "1"}') == {"X-A": "1"}
    assert headers.prepare_value({"X-A": "1"}) == "X-A: 1"
    assert MapField(separator="=").to_python("A=b=c \nB=") == {"A": "b=c ", "B": ""}


@pytest.mark.parametrize("text", ["A", "A=1\nnonsense", "{", "{]", '{"a":' * 100_000, '{"a"}'])
def test_what_is_neither_is_refused(text):
    with pytest.raises(ValidationError):
        MapField(separator="=").to_python(text)


def test_lists():
    field = ListField()
    assert field.to_python("a@b.test, c@d.test\r\n\r\ne@f.test ") == ["a@b.test", "c@d.test", "e@f.test"]
    assert field.prepare_value(["a", "b"]) == "a\nb"
    assert not field.has_changed(["a", "b"], "a,b")
    assert field.has_changed(["a"], "b")
