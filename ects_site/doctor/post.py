"""The mail server, asked on demand: reached, with its TLS and our account, without sending anything."""

import smtplib
import ssl
from collections.abc import Iterator

from django.conf import settings

from coordination.finding import Finding, fail, ok

TIMEOUT = 10.0
"""Seconds for each of the server's answers."""


def check() -> Iterator[Finding]:
    """Findings on the mail server."""
    mail = settings.ECTS_EMAIL
    if not mail["host"]:
        yield fail("mail", "no server is named", "Set ECTS_EMAIL_HOST and ECTS_EMAIL_FROM; mail tasks fail until then.")
        return
    where = f"{mail['host']}:{mail['port']}"
    try:
        with _connected(mail["host"], mail["port"], mail["tls"]) as server:
            server.ehlo_or_helo_if_needed()
            if mail["user"]:
                server.login(mail["user"], mail["password"])
    except smtplib.SMTPAuthenticationError:
        yield fail("mail", f"{where} does not accept the user {mail['user']}", "Correct ECTS_EMAIL_USER and _PASSWORD.")
    except (OSError, smtplib.SMTPException) as error:
        advice = "Correct ECTS_EMAIL_HOST, _PORT and _TLS (none, starttls or tls), or let this host through."
        yield fail("mail", f"{where} cannot be used: {error}", advice)
    else:
        yield ok("mail", f"{where} is ready to take mail from {mail['sender'] or 'nobody yet: set ECTS_EMAIL_FROM'}")


def _connected(host: str, port: int, tls: str) -> smtplib.SMTP:
    context = ssl.create_default_context()
    if tls == "tls":
        return smtplib.SMTP_SSL(host, port, timeout=TIMEOUT, context=context)
    server = smtplib.SMTP(host, port, timeout=TIMEOUT)
    if tls == "starttls":
        server.starttls(context=context)
    return server
