"""Loaded before Django's settings: every test run works in a data directory of its own."""

import os
import tempfile

if "ECTS_DATA_DIR" not in os.environ:
    os.environ["ECTS_DATA_DIR"] = tempfile.mkdtemp(prefix="ects-tests-")
