"""The gate for runs: how many at once, and who comes next."""

from collections.abc import Callable

import pytest

from workers.engine.capacity import DEFAULT_CAPACITY, Capacity, Place


class Gate:
    """A capacity, and who has begun."""

    def __init__(self, limit: int) -> None:
        self.capacity = Capacity(limit)
        self.begun: list[str] = []

    def enter(self, name: str) -> Callable[[], None]:
        def begin() -> None:
            self.begun.append(name)

        assert self.capacity.enter(begin) == (name in self.begun)
        return begin


def test_places_are_given_in_order() -> None:
    gate = Gate(2)
    for name in "abcde":
        gate.enter(name)
    assert (gate.begun, gate.capacity.running, gate.capacity.waiting) == (["a", "b"], 2, 3)
    assert gate.capacity.waiting_reason() == "waiting for a free place (2 of 2 in use)"
    for expected in ("abc", "abcd", "abcde"):
        gate.capacity.release()
        assert "".join(gate.begun) == expected
    gate.capacity.release()
    gate.capacity.release()
    assert (gate.capacity.running, gate.capacity.waiting) == (0, 0)


def test_nobody_slips_in_between() -> None:
    gate = Gate(1)
    for name in "ab":
        gate.enter(name)
    gate.capacity.release()
    gate.enter("c")
    assert gate.begun == ["a", "b"]
    assert gate.capacity.running == 1


def test_who_withdraws_takes_no_place() -> None:
    gate = Gate(1)
    first, second, third = (gate.enter(name) for name in "abc")
    assert gate.capacity.withdraw(second)
    assert not gate.capacity.withdraw(second)
    assert not gate.capacity.withdraw(first)
    gate.capacity.release()
    assert gate.begun == ["a", "c"]
    assert not gate.capacity.withdraw(third)
    gate.capacity.release()
    assert gate.capacity.running == 0


@pytest.mark.parametrize("times", [1, 3])
def test_a_place_is_given_back_once(times: int) -> None:
    gate = Gate(2)
    gate.enter("a")
    gate.enter("b")
    place = Place(gate.capacity)
    for _ in range(times):
        place.release()
    assert gate.capacity.running == 1


def test_the_default() -> None:
    assert Capacity().limit == DEFAULT_CAPACITY == 256
