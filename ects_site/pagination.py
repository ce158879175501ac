"""How lists over the API are cut into pages."""

from rest_framework.pagination import LimitOffsetPagination
from rest_framework.request import Request

FURTHEST = 10**9
"""No list is longer; a larger offset is taken as this."""


class BoundedPagination(LimitOffsetPagination):
    """``limit`` up to 500, ``offset`` within what a database takes."""

    max_limit = 500

    def get_offset(self, request: Request) -> int:
        """Beyond the end is an empty page, however far."""
        return min(super().get_offset(request), FURTHEST)
