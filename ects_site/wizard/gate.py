"""Who may use the wizard: the one browser that opened the printed address first."""

import hashlib
import os
import secrets
import threading
from collections.abc import Callable

from django.http import HttpRequest, HttpResponse, HttpResponseRedirect
from django.shortcuts import render

from ects_site.wizard import wire_home

PATH = "/setup/"
COOKIE = "ects_setup"


class Gate:
    """Exchanges the token for a cookie, once. Only digests are kept; they are compared in constant time."""

    def __init__(self, token: str) -> None:
        self._token = _digest(token)
        self._cookie = b""
        self._lock = threading.Lock()

    @property
    def is_taken(self) -> bool:
        """Whether the token has been used."""
        return bool(self._cookie)

    def exchange(self, token: str) -> str | None:
        """The cookie; None for a wrong token, and for everybody after the first."""
        with self._lock:
            if not secrets.compare_digest(_digest(token), self._token) or self.is_taken:
                return None
            cookie = secrets.token_urlsafe(32)
            self._cookie = _digest(cookie)
            return cookie

    def admits(self, cookie: str) -> bool:
        """Whether this is the browser."""
        return secrets.compare_digest(_digest(cookie), self._cookie or _digest(secrets.token_hex(32)))


def _digest(text: str) -> bytes:
    return hashlib.sha256(text.encode(errors="surrogatepass")).digest()


class GateKeeper:
    """Lets nobody else past. Middleware; it stands after the one that chooses the language."""

    def __init__(self, get_response: Callable[[HttpRequest], HttpResponse]) -> None:
        self._get_response = get_response
        self._gate = Gate(os.environ.pop(wire_home.TOKEN))

    def __call__(self, request: HttpRequest) -> HttpResponse:
        if not request.path.startswith(PATH):
            return self._get_response(request)
        response = self._inside(request) if self._is_known(request) else self._at_the_door(request)
        response["Cache-Control"] = "no-store"
        return response

    def _is_known(self, request: HttpRequest) -> bool:
        return self._gate.admits(request.COOKIES.get(COOKIE, ""))

    def _inside(self, request: HttpRequest) -> HttpResponse:
        wire_home.say(wire_home.USED)
        # The token of a link that is opened again does not stay in the address, either.
        return HttpResponseRedirect(PATH) if "token" in request.GET else self._get_response(request)

    def _at_the_door(self, request: HttpRequest) -> HttpResponse:
        if request.method == "GET" and request.path == PATH and (token := request.GET.get("token")):
            cookie = self._gate.exchange(token)
            if cookie is not None:
                response = HttpResponseRedirect(PATH)
                response.set_cookie(
                    COOKIE, cookie, path=PATH, httponly=True, samesite="Lax", secure=request.is_secure()
                )
                return response
        return render(request, "wizard/refused.html", {"is_taken": self._gate.is_taken}, status=403)
