"""Mail tasks: one message over SMTP (smtplib, in a thread)."""

import asyncio
import socket
import ssl
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from email.message import EmailMessage
from smtplib import SMTP, SMTP_SSL, SMTPAuthenticationError, SMTPException, SMTPRecipientsRefused, SMTPResponseException

from coordination.documents import MAIL_PASSWORD, MailSettings
from workers.engine.clock import Clock
from workers.engine.output import StepOutput
from workers.engine.runners.base import NETWORK_TIMEOUT, Job, Outcome, failed
from workers.engine.runners.message import Undeliverable, compose

CONNECT_TIMEOUT = 10.0
"""Seconds for the connection."""

REPLY_TIMEOUT = 30.0
"""Seconds for each answer of the server."""

_AT_ONCE = 16

NOT_SET = "No mail server is set: set ECTS_EMAIL_HOST (and _PORT, _USER, _PASSWORD, _TLS, _FROM) on the console."


class MailRunner:
    """Sends the task's content to its recipients."""

    default_timeout = NETWORK_TIMEOUT

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._threads = ThreadPoolExecutor(_AT_ONCE, thread_name_prefix="mail")

    async def run(self, job: Job, output: StepOutput) -> Outcome:
        """One delivery. Cancelled: the connection is cut, and nothing is sent on it any more."""
        settings = job.context.document.mail
        if settings is None or not settings.host:
            return failed(NOT_SET)
        try:
            message = compose(job, settings, self._clock.now())
            delivery = Delivery(settings, _password(job, settings), message)
            refused = await self._send(delivery)
        except Undeliverable as error:
            return failed(str(error), is_uncertain=error.is_uncertain)
        if refused:
            # The others have it.
            reason = f"The server {settings.host} refused these recipients: {'; '.join(refused)}."
            return failed(reason, is_uncertain=True)
        output.write(f"Sent to {', '.join(job.task.recipients)} through {settings.host}:{settings.port}\n".encode())
        return Outcome(state="succeeded")

    def close(self) -> None:
        """Ends the threads."""
        self._threads.shutdown(wait=False, cancel_futures=True)

    async def _send(self, delivery: "Delivery") -> list[str]:
        future = self._threads.submit(delivery.send)
        sending = asyncio.wrap_future(future)
        try:
            return await asyncio.shield(sending)
        except asyncio.CancelledError:
            if not future.cancel():
                delivery.cut()
                await asyncio.gather(sending, return_exceptions=True)
            raise


class Delivery:
    """One message on its way, in a thread; ``cut`` may be called from another."""

    def __init__(self, settings: MailSettings, password: str, message: EmailMessage) -> None:
        self._settings = settings
        self._password = password
        self._message = message
        self._smtp: SMTP | None = None
        self._is_cut = False
        self._is_sending = False

    def send(self) -> list[str]:
        """The recipients that were refused while others were not. Raises Undeliverable."""
        settings = self._settings
        place = f"{settings.host}:{settings.port}"
        try:
            return self._deliver()
        except SMTPAuthenticationError as error:
            raise Undeliverable(f"The mail server {place} refused the user or password: {_answer(error)}.") from error
        except SMTPRecipientsRefused as error:
            refused = "; ".join(_refusals(error.recipients))
            raise Undeliverable(f"The mail server {place} refused all recipients: {refused}.") from error
        except SMTPResponseException as error:
            raise Undeliverable(f"The mail server {place} refused the message: {_answer(error)}.") from error
        except ssl.SSLCertVerificationError as error:
            raise Undeliverable(f"The certificate of {place} is not valid: {error.verify_message}.") from error
        except (SMTPException, OSError, UnicodeError) as error:
            sentence = f"The mail server {place} could not be used: {_system_words(error)}."
            raise Undeliverable(sentence, is_uncertain=self._is_sending) from error

    def cut(self) -> None:
        """Ends the delivery: what is waiting for the server fails at once."""
        self._is_cut = True
        sock = self._smtp.sock if self._smtp else None
        if sock is not None:
            with suppress(OSError):
                sock.shutdown(socket.SHUT_RDWR)

    def _deliver(self) -> list[str]:
        settings = self._settings
        with self._connected() as smtp:
            self._smtp = smtp
            assert smtp.sock is not None
            smtp.sock.settimeout(REPLY_TIMEOUT)
            if settings.tls == "starttls":
                smtp.starttls(context=ssl.create_default_context())
            if settings.user:
                smtp.login(settings.user, self._password)
            if self._is_cut:
                raise Undeliverable("The delivery was cut off.")
            smtp.ehlo_or_helo_if_needed()
            self._is_sending = True
            return _refusals(smtp.send_message(self._message))

    def _connected(self) -> SMTP:
        host, port = self._settings.host, self._settings.port
        # smtplib would ask the DNS for our own name, which may take half a minute.
        name = socket.gethostname() or "localhost"
        if self._settings.tls == "tls":
            return SMTP_SSL(host, port, name, timeout=CONNECT_TIMEOUT, context=ssl.create_default_context())
        return SMTP(host, port, name, timeout=CONNECT_TIMEOUT)


def _password(job: Job, settings: MailSettings) -> str:
    if settings.user and MAIL_PASSWORD not in job.secrets:
        raise Undeliverable(
            "The password of the mail server is not set, or this node could not open it: set ECTS_EMAIL_PASSWORD."
        )
    return job.secrets.get(MAIL_PASSWORD, "")


def _refusals(recipients: Mapping[str, tuple[int, bytes]]) -> list[str]:
    return [f"{address}: {code} {text.decode('utf-8', 'replace')}" for address, (code, text) in recipients.items()]


def _answer(error: SMTPResponseException) -> str:
    text = error.smtp_error
    words = text.decode("utf-8", "replace") if isinstance(text, bytes) else text
    return f"{error.smtp_code} {words}".rstrip(". ")


def _system_words(error: Exception) -> str:
    if isinstance(error, TimeoutError):
        return "no answer in time"
    if isinstance(error, ConnectionRefusedError):
        return "the connection was refused, nothing listens there"
    if isinstance(error, socket.gaierror):
        return f"the name is not known ({error.strerror})"
    return str(error).rstrip(". ") or type(error).__name__
