"""The journal: an entry for each change of an object, with a part for each of its pieces that the change touched.

Nothing here points at users or objects by foreign key: the journal outlives both, so ids and names are kept side by
side.
"""

from django.db import models
from django.utils.timezone import now
from django.utils.translation import gettext_lazy as _


class Entry(models.Model):
    """Somebody did something to one object in one request, or in one transaction of a command or of the system."""

    class What(models.TextChoices):
        ADDED = "added", _("Added")
        CHANGED = "changed", _("Changed")
        DELETED = "deleted", _("Deleted")
        RUN = "run", _("Run by hand")
        TRIED = "tried", _("Tried")
        KILLED = "killed", _("Killed")
        SIGNED_IN = "signed_in", _("Signed in")
        SIGNED_OUT = "signed_out", _("Signed out")
        REFUSED = "refused", _("Sign-in failed")
        LOCKED_OUT = "locked_out", _("Locked out")

    class Via(models.TextChoices):
        CONSOLE = "console", _("console")
        API = "api", _("API")
        COMMAND = "command", _("command")
        SYSTEM = "system", _("system")

    at = models.DateTimeField(_("when"), default=now)
    act = models.UUIDField()
    """What was done together, such as an action on several objects, has the same."""
    user = models.BigIntegerField(null=True)
    by = models.CharField(_("who"), max_length=150)
    """The name of the user then; of a command the beginning of its line; see also ``audit.acting``."""
    via = models.CharField(_("by way of"), max_length=10, choices=Via)
    origin = models.CharField(_("from"), max_length=150, blank=True)
    """The address of the client; for a command the account and the host."""
    kind = models.CharField(_("kind"), max_length=40)
    """The model of the object, such as ``pipelines.pipeline``."""
    object = models.CharField(_("object"), max_length=64, blank=True)
    """Its primary key as text; of a run its uuid."""
    name = models.CharField(_("name"), max_length=200)
    """As it was called after the change."""
    what = models.CharField(_("what"), max_length=10, choices=What)

    class Meta:
        verbose_name = _("audit entry")
        verbose_name_plural = _("audit")
        ordering = ["-id"]
        # Each combination of filters reads along one of these, in order; see ``audit.pages``.
        indexes = [
            models.Index(fields=["kind", "what", "id"], name="audit_kind_what"),
            models.Index(fields=["by", "kind", "what", "id"], name="audit_by_kind_what"),
            models.Index(fields=["kind", "object", "id"], name="audit_object"),
            models.Index(fields=["name", "id"], name="audit_name"),
            models.Index(fields=["act", "id"], name="audit_act"),
            models.Index(fields=["at", "id"], name="audit_at"),
        ]

    def __str__(self) -> str:
        return f"{self.name}: {self.get_what_display()}"


class Part(models.Model):
    """What became of one piece: the object itself, or one of its steps, bindings or the like.

    ``fields``, by the name of the field: ``[before, after]``, where names stand for what a field points at; of a longer
    text ``{"lines": [[sign, text], ...]}``, as in a patch; of a list of objects ``{"more": [...], "less": [...]}``; of
    what is never shown ``{"hidden": [was set, is set]}``.
    """

    entry = models.ForeignKey(Entry, on_delete=models.CASCADE, related_name="parts")
    model = models.CharField(max_length=40)
    key = models.CharField(max_length=64, blank=True)
    title = models.CharField(max_length=200)
    what = models.CharField(max_length=10, choices=Entry.What)
    fields = models.JSONField(default=dict)

    class Meta:
        ordering = ["id"]

    def __str__(self) -> str:
        return f"{self.title}: {self.get_what_display()}"
