"""What went wrong on the network, in plain words."""

import socket
import ssl
from collections.abc import Iterator

import httpx


def in_plain_words(error: BaseException, url: str, connect_timeout: float) -> str:
    """A sentence for a failed request; it names the host, never the whole address (that may hold a secret)."""
    place = _place(url)
    if isinstance(error, httpx.InvalidURL | httpx.UnsupportedProtocol) or not place:
        return f"The address is not a complete http:// or https:// address: {error}."
    if isinstance(error, httpx.ConnectTimeout):
        return f"No connection to {place} within {connect_timeout:g} s: check the address and the firewalls."
    if isinstance(error, httpx.TooManyRedirects):
        return f"{place} redirects without end."
    if isinstance(error, httpx.ProxyError):
        return f"The proxy refused the request to {place}: {error}."
    for cause in _causes(error):
        if sentence := _cause_in_words(cause, place):
            return sentence
    if isinstance(error, httpx.RemoteProtocolError):
        return f"{place} does not answer as an HTTP server does: {error}."
    detail = str(error) or type(error).__name__
    return f"The request to {place} failed: {detail.rstrip('.')}."


def _cause_in_words(cause: BaseException, place: str) -> str:
    if isinstance(cause, ssl.SSLCertVerificationError):
        return f"The certificate of {place} is not valid: {cause.verify_message}."
    if isinstance(cause, ssl.SSLError):
        return f"No TLS connection to {place}: {cause.reason or cause}."
    if isinstance(cause, socket.gaierror):
        return f"The name in {place} is not known: {cause.strerror}."
    if isinstance(cause, ConnectionRefusedError):
        return f"{place} refused the connection: nothing listens there."
    if isinstance(cause, ConnectionResetError | BrokenPipeError):
        return f"{place} broke the connection off."
    return ""


def _causes(error: BaseException) -> Iterator[BaseException]:
    """The error and what it came from, the members of groups included."""
    seen: set[int] = set()
    waiting: list[BaseException | None] = [error]
    while waiting:
        cause = waiting.pop(0)
        if cause is None or id(cause) in seen:
            continue
        seen.add(id(cause))
        yield cause
        waiting += [cause.__cause__, cause.__context__]
        if isinstance(cause, BaseExceptionGroup):
            waiting += cause.exceptions


def _place(url: str) -> str:
    try:
        parsed = httpx.URL(url)
    except httpx.InvalidURL:
        return ""
    return parsed.netloc.decode("ascii", "replace")
