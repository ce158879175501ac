"""The console's address, tried from this machine."""

from urllib.parse import urlsplit

import httpx
from django.utils.translation import gettext as _

from coordination.addresses import is_loopback
from ects_site.probes import wire
from ects_site.probes.report import Report

TIMEOUT = 4.0
"""Seconds for the answer."""


def probe(url: str, expected: str) -> Report:
    """Whether ``expected`` is what ``/healthz`` answers there. Nothing is refused: a proxy may come later."""
    report = Report()
    parts = urlsplit(url)
    if parts.scheme == "http" and not is_loopback(parts.hostname or ""):
        report.notes.append(
            _(
                "%(url)s is plain HTTP: passwords and tokens can be read on the way, and workers on other hosts refuse "
                "it unless they are told --insecure. Put a proxy with TLS before it."
            )
            % {"url": url}
        )
    try:
        wire.connect(parts.hostname or "", parts.port or (443 if parts.scheme == "https" else 80)).close()
        # No verification: with a certificate of the house, the question is only where the address leads.
        said = httpx.get(f"{url}/healthz", timeout=TIMEOUT, verify=False, trust_env=False).text  # noqa: S501
    except (OSError, httpx.HTTPError, httpx.InvalidURL) as error:
        facts = {"url": url, "reason": wire.why(error) if isinstance(error, OSError) else str(error)}
        report.notes.append(_("%(url)s does not lead here yet: %(reason)s") % facts)
        return report
    if said == expected:
        report.notes.append(_("%(url)s leads to this machine") % {"url": url})
    else:
        report.notes.append(_("%(url)s is answered by something else at present") % {"url": url})
    return report
