"""The certificates with which etcd and the console show each other who they are: how long they are still good."""

import socket
import ssl
from collections.abc import Callable, Iterable, Iterator
from contextlib import suppress
from datetime import datetime, timedelta
from pathlib import Path

from cryptography import x509
from django.utils import timezone

from coordination.finding import Finding, fail, ok, warn
from coordination.gateway import EtcdSettings

SOON = timedelta(days=21)
"""A certificate that ends within this time wants to be replaced now."""

Period = tuple[datetime, datetime]
"""The end of a certificate, and its beginning."""

TIMEOUT = 3.0
"""Seconds for each endpoint to show its certificate."""


def check(etcd: EtcdSettings) -> Iterator[Finding]:
    """Findings on those of etcd's authority, of this console, and of each member that can be reached."""
    if not etcd.ca:
        return
    with suppress(OSError):  # a file that cannot be read is told by whoever needs it
        # While authorities are exchanged the file has both: one that is good will do.
        yield _finding("the certificate of etcd's authority (ECTS_ETCD_CA)", Path(etcd.ca).read_bytes(), _best)
        if etcd.certificate:
            # With what it depends on behind it: all have to be good.
            yield _finding("this console's certificate (ECTS_ETCD_CERT)", Path(etcd.certificate).read_bytes(), min)
    for endpoint in etcd.endpoints:
        with suppress(OSError):
            yield _finding(f"the certificate of {endpoint}", _shown(endpoint, etcd).encode(), min)


def _best(periods: Iterable[Period]) -> Period:
    """The one that ends last of those that have begun."""
    return max(periods, key=lambda period: (period[1] <= timezone.now(), period[0]))


def _shown(endpoint: str, etcd: EtcdSettings) -> str:
    """What a member shows, before it is known whether it is to be trusted."""
    host, _, port = endpoint.rpartition(":")
    context = ssl.create_default_context()
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    if etcd.certificate:
        context.load_cert_chain(etcd.certificate, etcd.key)
    connection = socket.create_connection((host.strip("[]"), int(port)), TIMEOUT)
    with connection, context.wrap_socket(connection) as wrapped:
        return ssl.DER_cert_to_PEM_cert(wrapped.getpeercert(binary_form=True) or b"")


def _finding(what: str, pem: bytes, decides: Callable[[Iterable[Period]], Period]) -> Finding:
    """``decides``: which of several certificates does, by its end."""
    try:
        certificates = x509.load_pem_x509_certificates(pem)
    except ValueError as error:
        return fail("etcd", f"{what} is not one: {error}", "Name a file in PEM form.")
    ends, begins = decides((each.not_valid_after_utc, each.not_valid_before_utc) for each in certificates)
    return _judged(what, begins, ends, timezone.now())


def _judged(what: str, begins: datetime, ends: datetime, now: datetime) -> Finding:
    if now < begins:
        return fail("etcd", f"{what} is good from {begins:%Y-%m-%d %H:%M} UTC on", "Is this machine's clock right?")
    advice = "Issue another one and restart what uses it; see docs/how-to/etcd.md."
    if ends <= now:
        return fail("etcd", f"{what} ended on {ends:%Y-%m-%d %H:%M} UTC", advice)
    if ends <= now + SOON:
        return warn("etcd", f"{what} ends on {ends:%Y-%m-%d %H:%M} UTC", advice)
    return ok("etcd", f"{what} is good until {ends:%Y-%m-%d}")
