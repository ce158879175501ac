"""This host: Python, disk, the console's own settings and its address."""

import shutil
import sys
from collections.abc import Iterator
from urllib.parse import urlsplit

import httpx
from django.conf import settings

from coordination.finding import Finding, fail, ok, warn

LITTLE_DISK = 1 << 30
"""Bytes free, below which a warning is due."""

TIMEOUT = 5.0
"""Seconds for the console's answer."""

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


def _address() -> Iterator[Finding]:
    url = settings.ECTS_SERVER_URL
    parts = urlsplit(url)
    if parts.scheme != "https" and parts.hostname not in ("127.0.0.1", "localhost", "::1"):
        yield warn("console", f"{url} is plain HTTP", HTTP_ONLY)
    try:
        reply = httpx.get(f"{url}/readyz", timeout=TIMEOUT)
    except httpx.HTTPError as error:
        advice = "Start the web process, or correct ECTS_SERVER_URL: workers deliver their results there."
        yield fail("console", f"{url} does not answer: {error}", advice)
        return
    if reply.status_code == 200:
        yield ok("console", f"{url} is ready")
    else:
        yield fail("console", f"{url}/readyz says {reply.status_code}: {reply.text[:200]}", "See the findings below.")
