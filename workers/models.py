"""Node, the hosts of the cluster, and what is needed to let one join: enrolment tokens and signing keys."""

import uuid
from typing import Any

from django.conf import settings
from django.db import models, transaction
from django.utils.translation import gettext_lazy as _

from coordination import crypto


class NodeQuerySet(models.QuerySet["Node"]):
    """Of all hosts that were ever known."""

    def serving(self) -> "NodeQuerySet":
        """The workers that are not retired."""
        return self.filter(mode=Node.Mode.WORKER, retired_at=None)


class Node(models.Model):
    """A host known to the cluster. ``online`` follows its etcd lease; the rest is what it last said of itself."""

    class Mode(models.TextChoices):
        WORKER = "worker", _("Worker")
        MASTER = "master", _("Master")

    id = models.UUIDField(primary_key=True, default=uuid.uuid4, editable=False)
    name = models.CharField(_("name"), max_length=150, unique=True)
    description = models.CharField(_("description"), max_length=500, blank=True)
    mode = models.CharField(_("mode"), max_length=10, choices=Mode, default=Mode.WORKER)
    labels = models.JSONField(_("labels"), default=dict, blank=True)
    host = models.CharField(_("host"), max_length=255, blank=True)
    port = models.PositiveIntegerField(_("port"), default=0)
    version = models.CharField(_("version"), max_length=50, blank=True)
    online = models.BooleanField(_("online"), default=False)
    last_seen = models.DateTimeField(_("last seen"), null=True, blank=True)
    started_at = models.DateTimeField(_("started"), null=True, blank=True)
    capacity = models.PositiveIntegerField(_("capacity"), default=0)
    running = models.PositiveIntegerField(_("running"), default=0)
    backlog = models.PositiveIntegerField(_("journal backlog"), default=0)
    clock_skew = models.FloatField(_("clock skew (s)"), null=True, blank=True)
    draining = models.BooleanField(_("draining"), default=False)
    etcd_connected = models.BooleanField(_("connected to etcd"), default=True)
    incidents = models.JSONField(_("incidents"), default=list, blank=True)
    trusted_keys = models.JSONField(null=True, editable=False)
    """Ids of the signing keys that it trusts; null: its version does not say."""
    void_epoch = models.BigIntegerField(default=0, editable=False)
    """The epoch in which the node saw etcd go back in time; the master begins another one in its place."""
    machine_id = models.CharField(max_length=64, blank=True, editable=False)
    public_key = models.BinaryField(null=True, editable=False)
    token_digest = models.CharField(max_length=64, blank=True, db_index=True, editable=False)
    enrolled_by_id = models.BigIntegerField(null=True, editable=False)
    """The enrolment token's id, so that a host may repeat a request whose answer was lost."""
    enrolled_at = models.DateTimeField(_("enrolled"), null=True, blank=True)
    drain_asked_at = models.DateTimeField(_("draining since"), null=True, blank=True, editable=False)
    """It is to begin nothing new; ``draining`` says whether it does."""
    retired_at = models.DateTimeField(_("retired"), null=True, blank=True, editable=False)
    document_generation = models.BigIntegerField(default=0, db_default=0, editable=False)
    """Of the document by which the node learns its name, whether it drains, and its next token; 0: there is none."""
    document_heard = models.BigIntegerField(null=True, editable=False)
    """The generation that the node acts on, None when it has not said, or is too old to know of it."""
    next_token_digest = models.CharField(max_length=64, blank=True, db_default="", db_index=True, editable=False)
    next_token = models.CharField(max_length=255, blank=True, db_default="", editable=False)
    """Sealed for the node's key. With its first use it takes the place of the one before."""
    rotated_at = models.DateTimeField(null=True, editable=False)
    """When the next token was made."""
    created_at = models.DateTimeField(_("created"), auto_now_add=True)

    objects = NodeQuerySet.as_manager()

    class Meta:
        verbose_name = _("node")
        verbose_name_plural = _("nodes")
        ordering = ["name"]

    def __str__(self) -> str:
        return self.name

    def save(self, *args: Any, **kwargs: Any) -> None:
        """As Django's; what is marked and written down because of it shares its transaction."""
        with transaction.atomic():
            super().save(*args, **kwargs)

    # Django REST framework and the ingest door ask the authenticated principal for this.
    is_authenticated = True
    is_active = True

    @property
    def status(self) -> str:
        """``online`` or ``offline``."""
        return "online" if self.online else "offline"

    @property
    def is_revoked(self) -> bool:
        """Whether it had a token and has none now: its deliveries are refused until it enrols again."""
        return bool(self.enrolled_at) and not self.token_digest and self.mode == self.Mode.WORKER

    @property
    def is_drained(self) -> bool:
        """Whether it begins nothing new, as it was asked to, and nothing runs any more."""
        return self.drain_asked_at is not None and self.draining and not self.running

    @property
    def is_rotating(self) -> bool:
        """Whether another token was made for it that it has not used yet."""
        return bool(self.next_token_digest)

    @property
    def hears(self) -> bool:
        """Whether its worker is new enough to be told anything. One that has not reported yet will say."""
        return self.document_heard is not None or self.clock_skew is None


class EtcdUser(models.Model):
    """The password of a worker's own user in etcd, encrypted; an etcd that was started empty is told it again."""

    node = models.OneToOneField(Node, on_delete=models.CASCADE, primary_key=True)
    ciphertext = models.BinaryField()

    def __str__(self) -> str:
        return str(self.node_id)

    def password(self) -> str:
        """Raises ``coordination.crypto.CannotOpen`` under another encryption key."""
        return settings.ECTS_AT_REST.decrypt(bytes(self.ciphertext)).decode()


class OnlineSpan(models.Model):
    """A time in which a node was online, as the leading master saw it. ``going`` is the node while it has no end: of
    each node one span is open at the most."""

    node = models.ForeignKey(Node, on_delete=models.CASCADE, related_name="online_spans")
    begins_at = models.DateTimeField()
    ends_at = models.DateTimeField(null=True)
    going = models.UUIDField(null=True, unique=True)

    class Meta:
        indexes = [
            models.Index(fields=["node", "ends_at"], name="online_span_node"),
            models.Index(fields=["ends_at"], name="online_span_end"),
        ]

    def __str__(self) -> str:
        return f"{self.node} {self.begins_at:%Y-%m-%d %H:%M:%S}"


class Refusal(models.Model):
    """A document or command that a node found in etcd and did not accept, with the reason; one row per key."""

    node = models.ForeignKey(Node, on_delete=models.CASCADE, related_name="refusals")
    key = models.CharField(_("key"), max_length=255)
    reason = models.CharField(_("reason"), max_length=500)
    at = models.DateTimeField(_("last refused"))
    count = models.PositiveIntegerField(_("times"), default=1)

    class Meta:
        verbose_name = _("refused document")
        verbose_name_plural = _("refused documents")
        constraints = [models.UniqueConstraint(fields=["node", "key"], name="one_refusal_per_key")]
        ordering = ["-at"]

    def __str__(self) -> str:
        return f"{self.key}: {self.reason}"


class EnrolmentToken(models.Model):
    """Lets hosts join, ``uses`` times until ``expires_at``. Only the SHA-256 of the token is kept."""

    digest = models.CharField(max_length=64, unique=True, editable=False)
    node = models.ForeignKey(Node, on_delete=models.CASCADE, null=True, blank=True, verbose_name=_("only for node"))
    uses = models.PositiveIntegerField(_("uses left"), default=1)
    expires_at = models.DateTimeField(_("expires"))
    created_at = models.DateTimeField(_("created"), auto_now_add=True)
    created_by = models.ForeignKey(settings.AUTH_USER_MODEL, on_delete=models.SET_NULL, null=True, blank=True)

    class Meta:
        verbose_name = _("enrolment token")
        verbose_name_plural = _("enrolment tokens")
        ordering = ["-id"]

    def __str__(self) -> str:
        return f"#{self.pk}"


class SigningKey(models.Model):
    """The console's Ed25519 keys. A new one is vouched for by the key before (``signature``) and told to the workers;
    then it signs, and the one before is retired: its seed is gone, the links stay for whoever was away.
    ``manage.py rotatekeys signing`` does it. The seed is encrypted at rest."""

    key_id = models.CharField(max_length=16, unique=True)
    verify_key = models.BinaryField()
    ciphertext = models.BinaryField()
    signed_by = models.CharField(max_length=16, blank=True)
    signature = models.BinaryField(null=True)
    """The link: ``coordination.trust.link``."""
    created_at = models.DateTimeField(auto_now_add=True)
    signs_since = models.DateTimeField(null=True)
    retired_at = models.DateTimeField(null=True)

    class Meta:
        verbose_name = _("signing key")
        verbose_name_plural = _("signing keys")
        ordering = ["id"]

    def __str__(self) -> str:
        return self.key_id

    def signer(self) -> crypto.Signer:
        """Raises ``coordination.crypto.CannotOpen`` under another encryption key."""
        return crypto.Signer(settings.ECTS_AT_REST.decrypt(bytes(self.ciphertext)))
