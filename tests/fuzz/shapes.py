"""Makes wrong JSON out of right JSON: a value replaced, a name lost, one put in, as deep as it goes."""

from copy import deepcopy
from typing import Any

from hypothesis import strategies as st

ODD: st.SearchStrategy[Any] = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(-(2**63), 2**64 - 1),
    st.sampled_from([0, -1, 2**31, 2**53, 2**62, 2**63, 2**63, 1e308, -0.5]),
    st.text(max_size=30),
    st.sampled_from(["", "\x00", "9" * 5000, "2026-03-01T12:00:00", "0001-01-01T00:00:00+14:00", "NaN"]),
    st.lists(st.integers(), max_size=3),
    st.dictionaries(st.text(max_size=5), st.integers(), max_size=2),
)


def places(value: Any, path: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
    """The way to each value inside."""
    inside = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    found = [path] if path else []
    for name, one in inside:
        found += places(one, (*path, name))
    return found


@st.composite
def spoilt(draw: Any, right: st.SearchStrategy[Any], most: int = 3) -> Any:
    """A right value with up to ``most`` changes, maybe none."""
    value = deepcopy(draw(right))
    for _ in range(draw(st.integers(0, most))):
        ways = places(value)
        if not ways:
            break
        *way, last = draw(st.sampled_from(ways))
        holder = value
        for name in way:
            holder = holder[name]
        what = draw(st.sampled_from(["replace", "remove", "add"]))
        if what == "replace":
            holder[last] = draw(ODD)
        elif what == "remove":
            del holder[last]
        elif isinstance(holder, dict):
            holder[draw(st.text(max_size=8))] = draw(ODD)
        else:
            holder.append(draw(ODD))
    return value
