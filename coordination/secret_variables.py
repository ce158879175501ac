"""Secrets in the environment: a variable, or the file that ``<variable>_FILE`` names."""

from collections.abc import Mapping
from pathlib import Path


def read(name: str, environ: Mapping[str, str]) -> str:
    """Its value; empty when neither is set. Raises ValueError when that file cannot be read or is empty."""
    path = environ.get(f"{name}_FILE")
    if not path:
        return environ.get(name, "")
    try:
        value = Path(path).read_text().strip()
    except OSError as error:
        raise ValueError(f"{name}_FILE: {path} cannot be read: {error.strerror}") from None
    if not value:
        raise ValueError(f"{name}_FILE: {path} is empty")
    return value
