"""Secrets in a stream: however it is cut, the result is that of the whole."""

from itertools import pairwise

from hypothesis import given
from hypothesis import strategies as st

from workers.engine.masking import Masker, Secrets

SMALL = st.text(alphabet="abc", min_size=1, max_size=4)


def masked(secrets: Secrets, *pieces: bytes) -> bytes:
    """What comes out when it comes in these pieces."""
    masker = Masker(secrets)
    return b"".join([*(masker.feed(piece) for piece in pieces), masker.finish()])


@given(
    secrets=st.lists(SMALL, max_size=4), text=st.text(alphabet="abcd", max_size=40), cuts=st.lists(st.integers(0, 40))
)
def test_cuts_do_not_matter(secrets: list[str], text: str, cuts: list[int]) -> None:
    hidden = Secrets(secrets)
    data = text.encode()
    edges = [0, *sorted(min(cut, len(data)) for cut in cuts), len(data)]
    pieces = [data[start:end] for start, end in pairwise(edges)]
    assert masked(hidden, *pieces) == hidden.text(text).encode()


@given(secret=st.text(min_size=1, max_size=20).filter(lambda text: text.strip() and "*" not in text), around=st.text())
def test_no_secret_gets_through(secret: str, around: str) -> None:
    shown = masked(Secrets([secret]), f"{around}{secret}{around}".encode())
    assert secret.strip().encode() not in shown


def test_a_secret_across_three_pieces() -> None:
    assert masked(Secrets(["geheim"]), b"the word is ge", b"he", b"im!") == b"the word is ***!"


def test_only_a_possible_beginning_is_held_back() -> None:
    masker = Masker(Secrets(["geheim"]))
    assert masker.feed(b"loading... ") == b"loading... "
    assert masker.feed(b"geh") == b""
    assert masker.feed(b"t doch") == b"geht doch"


def test_the_longer_of_two_that_begin_alike() -> None:
    secrets = Secrets(["pass", "password"])
    assert masked(secrets, b"pass", b"word pass") == b"*** ***"


def test_a_key_of_several_lines_is_hidden_by_line_too() -> None:
    secrets = Secrets(["-----BEGIN-----\nabcdefghijkl\nxy\n-----END-----\n"])
    assert masked(secrets, b"  abcdefghijkl\n  xy\n") == b"  ***\n  xy\n"


def test_the_end_of_line_of_a_secret_is_no_part_of_it() -> None:
    assert masked(Secrets(["geheim\n"]), b"[geheim]") == b"[***]"


def test_an_empty_secret_hides_nothing() -> None:
    assert masked(Secrets(["", "  \n"]), b"all of this") == b"all of this"


def test_patterns_mean_nothing() -> None:
    assert masked(Secrets([".*", "[a]^-"]), b"abc .* [a]^-") == b"abc *** ***"
