"""Task, the smallest unit of work, and Secret, a value that tasks may use without showing it."""

from django.conf import settings
from django.core.validators import RegexValidator
from django.db import models
from django.utils.translation import gettext_lazy as _
from simple_history.models import HistoricalRecords

from tasks.definitions import Definition


class Task(Definition):
    """One piece of work, reusable in many pipelines. Which fields matter depends on its kind."""

    class Kind(models.TextChoices):
        SHELL = "shell", _("Shell")
        HTTP = "http", _("HTTP")
        HOOK = "hook", _("Webhook")
        MAIL = "mail", _("Mail")

    name = models.CharField(_("name"), max_length=150, unique=True)
    kind = models.CharField(_("kind"), max_length=10, choices=Kind, default=Kind.SHELL)
    description = models.CharField(_("description"), max_length=500, blank=True)
    content = models.TextField(_("content"), blank=True)
    interpreter = models.CharField(_("interpreter"), max_length=200, default="/bin/sh")
    url = models.CharField(_("URL"), max_length=2000, blank=True)
    method = models.CharField(_("method"), max_length=10, default="GET")
    headers = models.JSONField(_("headers"), default=dict, blank=True)
    expect_status = models.CharField(_("expected status"), max_length=100, blank=True)
    expect_text = models.CharField(_("expected text"), max_length=500, blank=True)
    verify_tls = models.BooleanField(_("verify TLS"), default=True)
    follow_redirects = models.BooleanField(_("follow redirects"), default=True)
    signing_secret = models.CharField(_("signing secret"), max_length=100, blank=True)
    recipients = models.JSONField(_("recipients"), default=list, blank=True)
    subject = models.CharField(_("subject"), max_length=500, blank=True)
    created_at = models.DateTimeField(_("created"), auto_now_add=True)
    updated_at = models.DateTimeField(_("updated"), auto_now=True)
    history = HistoricalRecords()

    class Meta:
        verbose_name = _("task")
        verbose_name_plural = _("tasks")
        ordering = ["name"]

    def __str__(self) -> str:
        return self.name


class Secret(Definition):
    """A named value, encrypted at rest, used as ``{{ secrets.NAME }}`` and never shown again."""

    name = models.CharField(
        _("name"),
        max_length=100,
        unique=True,
        validators=[
            RegexValidator(r"^[A-Za-z_][A-Za-z0-9_]*$", _("Use letters, digits and _, not beginning with a digit."))
        ],
    )
    ciphertext = models.BinaryField(editable=False)
    description = models.CharField(_("description"), max_length=500, blank=True)
    created_at = models.DateTimeField(_("created"), auto_now_add=True)
    updated_at = models.DateTimeField(_("updated"), auto_now=True)

    class Meta:
        verbose_name = _("secret")
        verbose_name_plural = _("secrets")
        ordering = ["name"]

    def __str__(self) -> str:
        return self.name

    def set_value(self, value: str) -> None:
        """Encrypts under the installation's key; save afterwards."""
        self.ciphertext = settings.ECTS_AT_REST.encrypt(value.encode())

    def value(self) -> str:
        """The plain value. Raises ``coordination.crypto.CannotOpen`` under another encryption key."""
        return settings.ECTS_AT_REST.decrypt(bytes(self.ciphertext)).decode()
