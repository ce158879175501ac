"""Writers that meet on the same rows of MySQL or MariaDB: one of them is turned away, and tries again."""

import random
import time
from collections.abc import Callable
from typing import TypeVar

from django.db import IntegrityError, OperationalError, connection, transaction

T = TypeVar("T")

RETRIES = 15
"""How often a transaction is tried again: nine seconds at most."""

FIRST_PAUSE, LONGEST_PAUSE = 0.01, 1.0
"""Seconds. Each pause is drawn from nothing to twice the one before: those that collided would else meet again, and
one could be turned away each time ("full jitter", Brooker, Exponential Backoff and Jitter, 2015)."""

COLLISIONS = (1062, 1213)
"""MySQL's error numbers: another has inserted that row meanwhile; deadlock. On SQLite writers stand in line."""


def transact(work: Callable[[], T]) -> T:
    """Does the work in a transaction, from its beginning again when it collides with another writer.

    Within a transaction already, it is part of that one, which fails as a whole. ``work`` must change nothing but the
    database.
    """
    tries = 0 if connection.in_atomic_block else RETRIES
    for turn in range(tries):
        try:
            return _once(work)
        except (IntegrityError, OperationalError) as error:
            if error.args[0] not in COLLISIONS:
                raise
        time.sleep(random.uniform(0, min(FIRST_PAUSE * 2**turn, LONGEST_PAUSE)))  # noqa: S311 - nobody is to be kept from guessing it
    return _once(work)


def _once(work: Callable[[], T]) -> T:
    with transaction.atomic():
        return work()
