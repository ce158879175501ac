"""Connected is who hears of everything; the seconds add up."""

from coordination.connectivity import Connectivity


def test_seconds_and_restarts() -> None:
    now = 100.0
    it = Connectivity(lambda: now)
    it.expect("a")
    assert not it.is_connected
    now = 102.0
    it.changed("a", True)
    assert it.seconds() == (0.0, 2.0)
    now = 105.0
    it.expect("b")
    assert not it.is_connected
    now = 106.0
    it.changed("b", True)
    assert (it.is_connected, it.seconds(), it.restarts) == (True, (3.0, 3.0), 0)
    now = 110.0
    it.changed("a", False)
    it.changed("a", False)
    now = 111.5
    it.changed("a", True)
    assert (it.seconds(), it.restarts) == ((7.0, 4.5), 1)
    it.changed("b", True)
    assert it.restarts == 2, "after compaction too, though it was never disconnected"
