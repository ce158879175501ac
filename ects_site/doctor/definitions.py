"""What the console holds: keys and secrets that open, and changes that reach the workers."""

from collections.abc import Iterator
from datetime import timedelta

from django.db.models import F, Q
from django.utils import timezone

from coordination.crypto import CannotOpen
from coordination.finding import Finding, fail, ok, warn
from pipelines.models import Control, LostEdit, Publication
from tasks.models import Secret
from workers import keyring
from workers.models import Node

LAG = timedelta(seconds=60)
"""After which a change should have arrived everywhere."""

KEY_LOST = "Put the right secrets/encryption_key (or ECTS_ENCRYPTION_KEY) back; it belongs to each backup."


REMEMBERED = timedelta(days=30)
"""For how long lost changes are told."""


def check_secrets() -> Iterator[Finding]:
    """Findings on keys and secrets."""
    try:
        signs = keyring.signer().key_id
        yield ok("signing key", f"{signs} opens")
        yield from _trust(signs)
    except CannotOpen:
        yield fail("signing key", "cannot be opened with this encryption key", KEY_LOST)
    for secret in Secret.objects.order_by("name"):
        try:
            secret.value()
        except CannotOpen:
            yield fail("secrets", f"{secret.name} cannot be opened with this encryption key", KEY_LOST)


def _trust(signs: str) -> Iterator[Finding]:
    if keyring.pending() or keyring.former():
        advice = "Run manage.py rotatekeys signing: it goes on where it was."
        yield warn("signing key", "a rotation has begun and is not finished", advice)
    for node in Node.objects.filter(online=True).exclude(trusted_keys=None).order_by("name"):
        if signs not in (node.trusted_keys or ()):
            advice = "It should within 10 s. After a restored backup that is older than its keys: enrol it again."
            yield fail("signing key", f"worker {node.name} does not trust {signs}", advice)


def check_publication() -> Iterator[Finding]:
    """Findings on the outbox."""
    if Control.objects.filter(paused=True).exists():
        yield warn("publication", "everything is paused: nothing fires", "Switch the global pause off when it is time.")
    since = timezone.now() - LAG
    waiting = Publication.objects.filter(pending=True, wanted_at__lt=since)
    if (count := waiting[:1000].count()) > 0:
        error = waiting.exclude(error="").values_list("error", flat=True).first() or "no master has tried yet"
        advice = "Is a master running (manage.py runmaster), and etcd reachable?"
        yield fail("publication", f"{count} changes wait for more than {LAG.seconds} s: {error}", advice)
    unapplied = Publication.objects.filter(
        ~Q(applied=F("wanted")), pending=False, published=F("wanted"), wanted_at__lt=since
    )
    if (count := unapplied[:1000].count()) > 0:
        advice = "See the nodes' pages for refused documents, and whether the nodes are online."
        yield warn("publication", f"{count} published changes are not confirmed by their nodes", advice)
    for edit in LostEdit.objects.filter(found_at__gt=timezone.now() - REMEMBERED)[:10]:
        advice = "Make the change again, then delete this notice: /admin/pipelines/lostedit/."
        words = (
            f"pipeline {edit.pipeline_name}: a change of {edit.made_at:%Y-%m-%d %H:%M:%S} UTC is not in the restored"
        )
        yield warn("publication", f"{words} database, and was undone", advice)
    if not waiting.exists() and not unapplied.exists():
        yield ok("publication", "every change has arrived")
