"""Whether something listens at an address, and why not, in words for people."""

import errno
import socket
import ssl
from collections.abc import Iterable

from django.utils.translation import gettext as _

TIMEOUT = 3.0
"""Seconds for a connection, and for each answer on it."""

OTHER_NAME = (62, 64)
"""X509_V_ERR_HOSTNAME_MISMATCH and X509_V_ERR_IP_ADDRESS_MISMATCH of OpenSSL."""

UNKNOWN_ISSUER = (18, 19, 20, 21)
"""OpenSSL's verification errors for a certificate whose authority is not among the trusted ones."""

NOT_IN_TIME = (9, 10)
"""OpenSSL's for a certificate that is not valid yet, or no longer."""


def connect(host: str, port: int) -> socket.socket:
    """A TCP connection. Raises OSError, which ``why`` puts into words."""
    return socket.create_connection((host.strip("[]"), port), timeout=TIMEOUT)


def why(error: OSError) -> str:
    """What became of an attempt to connect, and what to look at."""
    if isinstance(error, socket.gaierror):
        return _("no machine of this name is known (DNS): check how it is spelled")
    if isinstance(error, TimeoutError) or error.errno == errno.ETIMEDOUT:
        return _("no answer within %(seconds)g s: is the machine up, and does a firewall let this port through?") % {
            "seconds": TIMEOUT
        }
    if error.errno == errno.ECONNREFUSED:
        return _("the connection is refused: nothing listens on this port there; is the server started?")
    if error.errno in (errno.EHOSTUNREACH, errno.ENETUNREACH, errno.EADDRNOTAVAIL):
        return _("there is no route to this machine")
    return str(error.strerror or error)


def is_about_the_name(error: OSError) -> bool:
    """Whether the name of the machine is to blame, not the port."""
    return isinstance(error, socket.gaierror)


def why_not_trusted(error: ssl.SSLCertVerificationError, names: Iterable[str]) -> str:
    """What is wrong with a server's certificate, which is for ``names``."""
    if error.verify_code in OTHER_NAME:
        known = ", ".join(names)
        return _("the server's certificate is for other names (%(names)s): use one of them, or issue another") % {
            "names": known or "-"
        }
    if error.verify_code in UNKNOWN_ISSUER:
        return _("the server's certificate is not signed by this authority (CA)")
    if error.verify_code in NOT_IN_TIME:
        return _("the server's certificate is not valid at this time: renew it, or mend this machine's clock")
    return _("the server's certificate is refused: %(reason)s") % {"reason": error.verify_message}
