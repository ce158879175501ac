"""Names of runs: the same fire has the same run id wherever and however often it is computed."""

import hashlib
import uuid
from datetime import datetime

SHARED = "shared"
"""Stands for the node in the name of a shared pipeline's fire."""


def fire_run_id(pipeline: str, scheduled_at: datetime, node: str, attempt: int = 1) -> str:
    """The run id of a scheduled fire; ``node`` is the node's id, or ``SHARED``. Sorts by scheduled instant."""
    milliseconds = _milliseconds(scheduled_at)
    return _uuid8(milliseconds, f"fire\0{pipeline}\0{milliseconds}\0{node}\0{attempt}")


def command_run_id(command: str, node: str, issued_at: datetime) -> str:
    """The run id of a manual run, named by its command. Sorts by the instant the command was given."""
    return _uuid8(_milliseconds(issued_at), f"command\0{command}\0{node}")


def gap_run_id(pipeline: str, first: datetime, node: str, reason: str) -> str:
    """The row id of a gap: many expected fires that did not run for one reason, kept as one row with a count."""
    milliseconds = _milliseconds(first)
    return _uuid8(milliseconds, f"gap\0{pipeline}\0{milliseconds}\0{node}\0{reason}")


def _milliseconds(instant: datetime) -> int:
    return int(instant.timestamp() * 1000)


def _uuid8(milliseconds: int, name: str) -> str:
    """A version 8 UUID (RFC 9562, section 5.8): 48 bits of Unix milliseconds, then 74 bits of SHA-256."""
    digest = int.from_bytes(hashlib.sha256(name.encode()).digest()[:10])
    value = (milliseconds & (1 << 48) - 1) << 80 | digest
    value = value & ~(0xF << 76) | 8 << 76
    value = value & ~(0x3 << 62) | 2 << 62
    if not is_storable(named := uuid.UUID(int=value)):
        named = uuid.UUID(int=value | 1 << 56)
    return str(named)


def is_storable(name: uuid.UUID) -> bool:
    """Whether every database can hold it. MariaDB's column type refuses some (10.11: "Incorrect uuid value"), of
    version 8 each 64th: those whose seventh byte is 0x80 or more while the ninth is from 0x01 to 0x80."""
    return not (name.bytes[6] >= 0x80 and 0x01 <= name.bytes[8] <= 0x80)
