"""``manage.py backup`` and ``manage.py restore``: database, keys and settings of an installation in one archive."""


class Refused(Exception):
    """It cannot be done here and now; the sentence says why, and what to do."""
