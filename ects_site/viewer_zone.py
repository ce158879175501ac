"""Times in the viewer's zone: the browser says it in a cookie (``static/ects/zone.js``)."""

from collections.abc import Callable
from urllib.parse import unquote
from zoneinfo import ZoneInfo

from django.http import HttpRequest, HttpResponse
from django.utils import timezone

COOKIE = "ects_zone"
LONGEST = 64


class ViewerZone:
    """Activates it for the request; without a cookie, or with one that names no zone, the server's stands."""

    def __init__(self, get_response: Callable[[HttpRequest], HttpResponse]) -> None:
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponse:
        """Not for the API, whose instants are UTC."""
        name = unquote(request.COOKIES.get(COOKIE, ""))
        if request.path.startswith("/api/") or not 0 < len(name) <= LONGEST:
            return self.get_response(request)
        try:
            zone = ZoneInfo(name)
        except (KeyError, ValueError, OSError):  # Unknown; a path out of the database; a directory of it.
            return self.get_response(request)
        with timezone.override(zone):
            return self.get_response(request)
