"""``manage.py rotatekeys``: replaces a key while everything goes on. Each stage may be repeated: killed at any point,
the command goes on where it was when it is run again."""

from collections.abc import Callable

Say = Callable[[str], None]
"""Shows a line of progress."""


class Waiting(Exception):
    """The rotation cannot be finished now; the sentence says what is missing. What is done stays."""
