"""What the process in the terminal makes of what the wizard's web process tells it, and of its silence."""

import os
import threading
from collections.abc import Iterator

import pytest

from ects_site.wizard import host
from ects_site.wizard.wire_home import DONE, DONE_WITH_EXAMPLE, SEEN, STARTED, USED


@pytest.fixture
def pipe() -> Iterator[tuple[int, int]]:
    ear, mouth = os.pipe()
    yield ear, mouth
    os.close(ear)


@pytest.mark.parametrize(
    ("words", "becomes"),
    [
        (STARTED + USED + DONE + USED + SEEN, DONE),
        (STARTED + DONE_WITH_EXAMPLE, DONE_WITH_EXAMPLE),
        (STARTED + USED + STARTED, host.BROKEN),
        (STARTED + USED, host.BROKEN),
        (b"", host.BROKEN),
    ],
)
def test_what_is_said_before_the_process_ends(pipe: tuple[int, int], words: bytes, becomes: bytes) -> None:
    ear, mouth = pipe
    os.write(mouth, words)
    os.close(mouth)
    assert host._listen(ear) == becomes


def test_a_wizard_that_nobody_uses_ends(pipe: tuple[int, int], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(host, "LIFE", 0.05)
    os.write(pipe[1], STARTED)
    assert host._listen(pipe[0]) == host.IDLE
    os.close(pipe[1])


def test_a_browser_that_went_away_is_not_waited_for_long(
    pipe: tuple[int, int], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(host, "FAREWELL", 0.05)
    os.write(pipe[1], STARTED + DONE)
    assert host._listen(pipe[0]) == DONE
    os.close(pipe[1])


def test_a_stop_after_the_end_is_told_apart(pipe: tuple[int, int], monkeypatch: pytest.MonkeyPatch) -> None:
    """Ctrl-C between the set-up and the change of hands."""
    read = os.read

    def interrupted(descriptor: int, count: int) -> bytes:
        word = read(descriptor, count)
        if word == USED:
            raise KeyboardInterrupt
        return word

    monkeypatch.setattr(os, "read", interrupted)
    os.write(pipe[1], STARTED + DONE + USED)
    assert host._listen(pipe[0]) == host.STOPPED_AFTERWARDS
    os.write(pipe[1], USED)
    assert host._listen(pipe[0]) == host.STOPPED
    os.close(pipe[1])


def test_silence_is_counted_from_the_last_visit(pipe: tuple[int, int], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(host, "LIFE", 5.0)
    timer = threading.Timer(0.05, lambda: os.write(pipe[1], USED + DONE + SEEN))
    timer.start()
    os.write(pipe[1], STARTED)
    assert host._listen(pipe[0]) == DONE
    os.close(pipe[1])
