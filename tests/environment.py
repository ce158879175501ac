"""Loaded before Django's settings: every test run works in a data directory of its own."""

import os
import signal
import tempfile

if "ECTS_DATA_DIR" not in os.environ:
    os.environ["ECTS_DATA_DIR"] = tempfile.mkdtemp(prefix="ects-tests-")

# A shell has whatever it starts in the background ignore it, and so would all that the tests start.
signal.signal(signal.SIGINT, signal.default_int_handler)
