"""What the wizard's web process tells the process that started it, by a pipe, one byte each."""

import os

DESCRIPTOR = "WIZARD_PIPE"
"""The variable that names the pipe's descriptor."""

TOKEN = "WIZARD_TOKEN"  # noqa: S105 - the variable's name
"""The variable that holds the one-time token of the address."""

FORCE = "WIZARD_FORCE"
"""The variable that says whether what is set up already may be changed: 0 or 1."""

STARTED = b"s"
USED = b"u"
DONE = b"d"
DONE_WITH_EXAMPLE = b"e"
SEEN = b"v"
"""The browser has been told that it is done."""


def say(word: bytes) -> None:
    """Whoever started this may be gone: then this process is about to be stopped, too."""
    try:
        os.write(int(os.environ[DESCRIPTOR]), word)
    except OSError:
        return
