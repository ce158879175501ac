"""The mail server, tested by a message."""

import smtplib
import socket
import ssl
from email.message import EmailMessage
from email.utils import format_datetime, make_msgid, parseaddr

from django.utils import timezone
from django.utils.translation import gettext as _

from coordination.documents import MailSettings
from ects_site.configuration_file import Notification
from ects_site.probes import wire
from ects_site.probes.report import Report
from workers.engine.runners.mail import Delivery
from workers.engine.runners.message import Undeliverable

TO = "to"
"""The field of the recipient, which is no setting."""


def send_test(mail: Notification, recipient: str) -> Report:
    """Sends a message by the code that sends those of the tasks."""
    report = Report()
    settings = MailSettings(
        host=mail.host,
        port=mail.port,
        user=mail.user,
        tls=mail.tls or "none",  # type: ignore[arg-type]
        sender=mail.sender,
    )
    try:
        Delivery(settings, mail.password, _message(settings, recipient)).send()
    except Undeliverable as error:
        cause = error.__cause__
        report.refuse(_field(cause), _sentence(cause) or str(error))
    else:
        report.notes.append(_("%(host)s has taken the test message to %(to)s") % {"host": mail.host, "to": recipient})
    return report


def _message(settings: MailSettings, recipient: str) -> EmailMessage:
    sender = settings.sender or settings.user or f"ects@{socket.gethostname()}"
    message = EmailMessage()
    message["From"], message["To"] = sender, recipient
    message["Subject"] = _("Test message of ECTS")
    message["Date"] = format_datetime(timezone.now())
    message["Message-ID"] = make_msgid(domain=parseaddr(sender)[1].rpartition("@")[2])
    message["Auto-Submitted"] = "auto-generated"
    message.set_content(_("ECTS can send mail through this server."))
    return message


def _field(cause: BaseException | None) -> str:
    match cause:
        case smtplib.SMTPAuthenticationError():
            return "password"
        case smtplib.SMTPRecipientsRefused():
            return TO
        case smtplib.SMTPSenderRefused():
            return "encryption" if b"STARTTLS" in cause.smtp_error else "name"
        case smtplib.SMTPNotSupportedError():
            return "encryption" if "STARTTLS" in str(cause) else "user"
        case ssl.SSLCertVerificationError():
            return "host"
        case ssl.SSLError() | smtplib.SMTPServerDisconnected() | ConnectionResetError():
            return "encryption"
        case ConnectionRefusedError():
            return "port"
    return "host"


def _sentence(cause: BaseException | None) -> str:
    """In words of ours; empty where the server's own are the best there are."""
    match cause:
        case smtplib.SMTPAuthenticationError():
            said = cause.smtp_error.decode(errors="replace") if isinstance(cause.smtp_error, bytes) else ""
            return _("the server refuses this user with this password: check both (%(said)s)") % {"said": said}
        case smtplib.SMTPNotSupportedError() if "STARTTLS" in str(cause):
            return _("the server offers no STARTTLS on this port: choose TLS from the start, or no encryption")
        case smtplib.SMTPNotSupportedError():
            return _(
                "the server lets nobody sign in on this connection: is encryption missing? Or leave the user empty"
            )
        case ssl.SSLCertVerificationError():
            return wire.why_not_trusted(cause, [])
        case ssl.SSLError():
            return _("the server does not begin with TLS on this port: choose STARTTLS, or another port")
        case smtplib.SMTPServerDisconnected() | ConnectionResetError() | TimeoutError():
            return _("the server says nothing, or hangs up before a word: does it begin with TLS on this port?")
        case smtplib.SMTPException():
            return ""
        case OSError():
            return wire.why(cause)
    return ""
