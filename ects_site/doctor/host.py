"""This host: Python, disk, the console's own settings and its address."""

import resource
import shutil
import socket
import ssl
import subprocess
import sys
from collections.abc import Iterator
from email.utils import parsedate_to_datetime
from pathlib import Path
from urllib.parse import urlsplit

import httpx
from django.conf import settings
from django.utils import timezone

from coordination.addresses import is_loopback
from coordination.finding import Finding, fail, ok, warn

LITTLE_DISK = 1 << 30
"""Bytes free, below which a warning is due."""

TIMEOUT = 5.0
"""Seconds for the console's answer."""

FEW_FILES = 4096
"""Open files allowed, below which many requests at once may fail."""

MUCH_SKEW = 3.0
"""Seconds between clocks; an answer's date has no fractions."""

SOON = 14
"""Days before its end at which a certificate is spoken of."""

SYSTEMD = Path("/run/systemd/system")
"""Exists where systemd runs."""

HTTP_ONLY = (
    "Put a proxy with TLS before it and set ECTS_SERVER_URL=https://…; workers of other hosts refuse plain HTTP."
)


def check() -> Iterator[Finding]:
    """Findings on this host."""
    yield ok("host", f"ECTS {settings.VERSION} on Python {sys.version.split()[0]}")
    yield _disk()
    if settings.DEBUG:
        yield warn("host", "ECTS_DEBUG is on: errors show settings to everybody", "Unset ECTS_DEBUG.")
    if settings.ALLOWED_HOSTS == ["*"]:
        yield warn("host", "the console answers to every host name", "Set ECTS_ALLOWED_HOSTS to the names it has.")
    yield from _modes()
    yield from _limits()
    yield from _clock_keeping()
    yield from _address()


def _disk() -> Finding:
    free = shutil.disk_usage(settings.DATA_DIR).free
    words = f"{free / (1 << 30):.1f} GB free in {settings.DATA_DIR}"
    return (
        ok("host", words) if free >= LITTLE_DISK else warn("host", words, "Free some space, or lower ECTS_KEEP_DAYS.")
    )


def _modes() -> Iterator[Finding]:
    """Secrets that others on this host could read."""
    held = [path for path in (settings.DATA_DIR / "secrets").glob("*") if path.is_file()]
    held += [path for path in (settings.DATA_DIR / "settings.env",) if path.exists()]
    for path in held:
        mode = path.stat().st_mode & 0o777
        if mode & 0o077:
            yield fail("host", f"{path} can be read by others (mode {mode:o})", f"chmod 600 {path}")


def _limits() -> Iterator[Finding]:
    files = resource.getrlimit(resource.RLIMIT_NOFILE)[0]
    if files < FEW_FILES and files != resource.RLIM_INFINITY:
        yield warn("host", f"only {files} open files are allowed", "LimitNOFILE=65536 in the unit, or ulimit -n 65536.")


def _clock_keeping() -> Iterator[Finding]:
    """Where systemd runs, it knows whether the clock is kept, and which of our units have failed."""
    if not SYSTEMD.exists():
        return
    synchronised = _said("timedatectl", "show", "--property=NTPSynchronized", "--value")
    if synchronised == "no":
        yield warn("host", "its clock is not synchronised", "timedatectl set-ntp true, or run another NTP service.")
    failed = _said("systemctl", "list-units", "--failed", "--plain", "--no-legend", "ects*").split("\n")
    for unit in (line.split()[0] for line in failed if line):
        yield fail("host", f"the unit {unit} has failed", f"journalctl -u {unit}, then systemctl restart {unit}.")


def _said(*command: str) -> str:
    """What it prints; nothing when it cannot be asked."""
    try:
        return subprocess.run(command, capture_output=True, text=True, timeout=TIMEOUT, check=False).stdout.strip()
    except (OSError, subprocess.SubprocessError):
        return ""


def _address() -> Iterator[Finding]:
    url = settings.ECTS_SERVER_URL
    parts = urlsplit(url)
    if parts.scheme != "https" and not is_loopback(parts.hostname or ""):
        yield warn("console", f"{url} is plain HTTP", HTTP_ONLY)
    try:
        reply = httpx.get(f"{url}/readyz", timeout=TIMEOUT)
    except httpx.HTTPError as error:
        advice = "Start the web process, or correct ECTS_SERVER_URL: workers deliver their results there."
        yield fail("console", f"{url} does not answer: {error}", advice)
        return
    if skew := _skew(reply):
        yield warn("console", f"its clock and this host's are {skew:.0f} s apart", "Run NTP on every host.")
    if parts.scheme == "https":
        yield from _certificate(parts.hostname or "", parts.port or 443)
    if reply.status_code == 200 and not reply.text.startswith("{"):
        yield fail("console", f"something else answers at {url}", "Correct ECTS_SERVER_URL, or ECTS_PORT.")
    elif reply.status_code == 200:
        yield ok("console", f"{url} is ready")
    else:
        yield fail("console", f"{url}/readyz says {reply.status_code}: {reply.text[:200]}", "See the findings below.")


def _skew(reply: httpx.Response) -> float:
    """Seconds between our clock and that of whoever answered, beyond what is usual; 0 when it does not say."""
    try:
        there = parsedate_to_datetime(reply.headers.get("Date", ""))
    except ValueError:
        return 0.0
    skew = abs((timezone.now() - there).total_seconds())
    return skew if skew > MUCH_SKEW else 0.0


def _certificate(host: str, port: int) -> Iterator[Finding]:
    context = ssl.create_default_context()
    with socket.create_connection((host, port), TIMEOUT) as raw, context.wrap_socket(raw, server_hostname=host) as tls:
        certificate = tls.getpeercert() or {}
    ends = ssl.cert_time_to_seconds(str(certificate["notAfter"]))
    days = (ends - timezone.now().timestamp()) / 86400
    if days < SOON:
        yield warn("console", f"its certificate ends in {days:.0f} days", "Renew it: workers refuse it afterwards.")
