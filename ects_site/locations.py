"""Where this installation is: what every command has to know before any setting is read."""

import os
from pathlib import Path

BASE_DIR = Path(__file__).resolve().parent.parent
"""The checkout."""


def data_dir() -> Path:
    """``ECTS_DATA_DIR``, by default ``var`` in the checkout: database, etcd data, worker state and secrets."""
    return Path(os.environ.get("ECTS_DATA_DIR") or BASE_DIR / "var").resolve()
