"""One endpoint of etcd, as far as the connection: does it speak HTTP/2 there, over the TLS that is meant?"""

import ssl
from collections.abc import Iterator
from contextlib import closing, suppress
from typing import Any

from django.utils.translation import gettext as _

from ects_site.configuration_file import Etcd
from ects_site.probes import wire

GREETING = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + b"\x00\x00\x00\x04\x00\x00\x00\x00\x00"
"""A client's first words, with empty settings (RFC 9113, section 3.4)."""

SETTINGS = 4
"""The type of the frame that a server answers with."""


def speaks(endpoint: str, etcd: Etcd, context: ssl.SSLContext | None) -> Iterator[tuple[str, str]]:
    """What is wrong, by field of etcd's section. ``context``: of TLS, None for a connection in the clear."""
    host, _colon, port = endpoint.rpartition(":")
    host = host.strip("[]")
    try:
        wire.connect(host, int(port)).close()
    except OSError as error:
        yield "endpoints", f"{endpoint}: {wire.why(error)}"
        return
    if context is None:
        if not _is_plain(host, int(port)) and _has_tls(host, int(port)):
            yield "ca", _("%(endpoint)s wants TLS: give the CA certificate of its server") % {"endpoint": endpoint}
        return
    try:
        if not _greets(host, int(port), context):
            yield "endpoints", _("%(endpoint)s speaks TLS, but it is no etcd") % {"endpoint": endpoint}
    except ssl.SSLCertVerificationError as error:
        names = _names(host, int(port), etcd.ca)
        field = "ca" if error.verify_code in wire.UNKNOWN_ISSUER else "endpoints"
        yield field, f"{endpoint}: {wire.why_not_trusted(error, names)}"
    except OSError as error:
        yield _of_handshake(endpoint, error, is_plain=_is_plain(host, int(port)), has_paper=bool(etcd.certificate))


def _of_handshake(endpoint: str, error: OSError, *, is_plain: bool, has_paper: bool) -> tuple[str, str]:
    # A server without TLS answers a handshake with words, hangs up, or waits for more: each is another error.
    if is_plain:
        return "ca", _("%(endpoint)s speaks without TLS: leave the CA certificate empty") % {"endpoint": endpoint}
    if not isinstance(error, ssl.SSLError):
        return "endpoints", f"{endpoint}: {wire.why(error)}"
    # A server that hangs up after the handshake does not like our certificate; its alert may get lost behind that.
    reason = "ALERT" if isinstance(error, ssl.SSLEOFError) else str(error.reason or error)
    if "CERTIFICATE_REQUIRED" in reason or ("ALERT" in reason and not has_paper):
        sentence = _("%(endpoint)s lets in only clients with a certificate: give one, and its key")
        return "certificate", sentence % {"endpoint": endpoint}
    if "ALERT" in reason:
        return "certificate", _("%(endpoint)s does not accept this client certificate") % {"endpoint": endpoint}
    return "endpoints", f"{endpoint}: {reason}"


def _greets(host: str, port: int, context: ssl.SSLContext | None) -> bool:
    """Whether an HTTP/2 server answers. With a context, what is wrong with TLS is raised, also what the server says
    of our certificate, which in TLS 1.3 comes only with its first answer."""
    with closing(wire.connect(host, port)) as plain:
        line = plain if context is None else context.wrap_socket(plain, server_hostname=host)
        with closing(line):
            try:
                line.sendall(GREETING)
                answer = line.recv(9)
            except ConnectionError as error:
                if context is None:
                    return False
                raise ssl.SSLEOFError(str(error)) from None
            except TimeoutError:
                return False
            return len(answer) > 3 and answer[3] == SETTINGS


def _is_plain(host: str, port: int) -> bool:
    with suppress(OSError):
        return _greets(host, port, None)
    return False


def _has_tls(host: str, port: int) -> bool:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False
    # Nothing is said on this connection: it is to learn whether there is TLS at all.
    context.verify_mode = ssl.CERT_NONE
    with suppress(OSError), closing(wire.connect(host, port)) as plain:
        context.wrap_socket(plain).close()
        return True
    return False


def _names(host: str, port: int, ca: str) -> list[str]:
    """Whom the server's certificate is for; empty when its authority is another."""
    context = ssl.create_default_context(cafile=ca)
    context.check_hostname = False
    with suppress(OSError), closing(wire.connect(host, port)) as plain, closing(context.wrap_socket(plain)) as line:
        names: Any = (line.getpeercert() or {}).get("subjectAltName", ())
        return [str(name) for _kind, name in names]
    return []
