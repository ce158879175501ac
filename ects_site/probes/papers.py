"""PEM files of a TLS connection: there, readable, and fitting together."""

import getpass
import ssl
from pathlib import Path

from django.utils.translation import gettext as _

from ects_site.probes.report import Report


def context(ca: str, certificate: str, key: str, report: Report) -> ssl.SSLContext | None:
    """For a client that trusts ``ca``; None where a file cannot be used, which is said under ``ca``, ``certificate``
    or ``key``. Without ``ca``: for one that trusts nobody."""
    if certificate and not key:
        report.refuse("key", _("the key of the client certificate is missing"))
    if key and not certificate:
        report.refuse("certificate", _("the certificate that belongs to the key is missing"))
    readable = [_is_readable(name, path, report) for name, path in _given(ca, certificate, key)]
    if report.wrong or not all(readable):
        return None
    made = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    if ca and not _is_certificate(ca):
        report.refuse("ca", _("%(path)s holds no certificate in PEM form") % {"path": ca})
    elif ca:
        made.load_verify_locations(ca)
    if certificate:
        _load_chain(made, certificate, key, report)
    return None if report.wrong else made


def _given(ca: str, certificate: str, key: str) -> list[tuple[str, str]]:
    return [(name, path) for name, path in (("ca", ca), ("certificate", certificate), ("key", key)) if path]


def _is_readable(name: str, path: str, report: Report) -> bool:
    try:
        Path(path).read_bytes()
    except OSError as error:
        facts = {"path": path, "reason": error.strerror, "user": getpass.getuser()}
        report.refuse(name, _("%(path)s cannot be read by the user %(user)s: %(reason)s") % facts)
        return False
    return True


def _load_chain(made: ssl.SSLContext, certificate: str, key: str, report: Report) -> None:
    try:
        made.load_cert_chain(certificate, key, password=_no_password)
    except _Encrypted:
        sentence = _("%(path)s is encrypted, and nobody is there to give its password: openssl pkey -in … -out …")
        report.refuse("key", sentence % {"path": key})
    except (OSError, ValueError) as error:
        if getattr(error, "reason", "") == "KEY_VALUES_MISMATCH":
            report.refuse("key", _("%(path)s is not the key of this certificate") % {"path": key})
        elif _is_certificate(certificate):
            report.refuse("key", _("%(path)s holds no private key in PEM form") % {"path": key})
        else:
            report.refuse("certificate", _("%(path)s holds no certificate in PEM form") % {"path": certificate})


def _is_certificate(path: str) -> bool:
    try:
        ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT).load_verify_locations(path)
    except (OSError, ValueError):
        return False
    return True


class _Encrypted(Exception):
    """OpenSSL asks for a password."""


def _no_password() -> str:
    raise _Encrypted
