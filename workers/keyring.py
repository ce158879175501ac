"""The console's signing keys: one signs, every one that counts is handed to workers, each is vouched for by the one
before. ``coordination.trust`` is how workers follow a replacement; ``ects_site.rotation`` goes through its stages."""

import hashlib
import hmac
import os
from collections.abc import Collection
from datetime import datetime

from django.conf import settings
from django.db import transaction
from django.db.models import Count, QuerySet
from django.utils import timezone

from coordination import trust
from coordination.crypto import Signer
from coordination.trust import Notice
from workers.models import SigningKey

_FIRST = 1
"""The primary key of the first signing key: of two processes that make it at once, the database lets one."""


class Another(Exception):
    """There is a signing key already, whose id this names, and workers know it."""


def signer() -> Signer:
    """The key that signs now; made when there is none yet. Raises CannotOpen under another encryption key."""
    return (_signing().last() or _make_first(Signer(os.urandom(32)))).signer()


def adopt(seed: bytes) -> Signer:
    """Makes this 32-byte seed the first signing key. Raises Another when there is a different one already."""
    if not SigningKey.objects.exists():
        _make_first(Signer(seed))
    present = signer()
    if present.seed != seed:
        raise Another(present.key_id)
    return present


def verify_keys() -> dict[str, bytes]:
    """Every key that counts by its id, the present one included."""
    signer()
    return {key_id: bytes(key) for key_id, key in _counting().values_list("key_id", "verify_key")}


def fingerprint() -> str:
    """Names the present key; an enrolment token carries it."""
    return signer().key_id


def notice_for(known: Collection[str]) -> Notice | None:
    """What to tell a node that trusts these keys; None when they are just those that count."""
    if set(known) == set(_counting().values_list("key_id", flat=True)):
        return None
    keys = verify_keys()
    links = SigningKey.objects.exclude(signature=None).order_by("pk").values_list("signature", flat=True)
    statement = trust.state(signer(), _generation(), keys.values())
    return Notice(links=tuple(bytes(link or b"") for link in links), statement=statement)


def digest_key() -> bytes:
    """The HMAC key by which equal documents are recognised; derived from the encryption key (RFC 2104)."""
    return hmac.new(settings.ECTS_AT_REST.newest, b"ects document digest", hashlib.sha256).digest()


# -- the stages of a replacement, in their order -----------------------------------------------------------------


def pending() -> SigningKey | None:
    """The key that is made and does not sign yet."""
    return _counting().filter(signs_since=None).last()


def former() -> list[SigningKey]:
    """Keys that count and do not sign any more."""
    return list(_signing().exclude(key_id=fingerprint()))


def make_next() -> SigningKey:
    """A key that is to sign later, vouched for by the one that signs; the one that is pending already, if any."""
    old = signer()
    with transaction.atomic():
        list(SigningKey.objects.select_for_update().order_by("pk"))
        made = pending()
        if made is None:
            new = Signer(os.urandom(32))
            made = _row(new, signed_by=old.key_id, signature=trust.link(old, new.verify_key))
            made.save(force_insert=True)
    return made


def begin_to_sign(key: SigningKey) -> None:
    """From now on this one signs."""
    with transaction.atomic():
        for row in SigningKey.objects.select_for_update().filter(pk=key.pk, signs_since=None):
            row.signs_since = timezone.now()
            row.save(update_fields=["signs_since"])


def retire_former() -> list[str]:
    """Keys that do not sign any more count no more, and can never sign again; their ids."""
    gone = former()
    with transaction.atomic():
        for row in SigningKey.objects.select_for_update().filter(pk__in=[key.pk for key in gone]).order_by("pk"):
            row.retired_at, row.ciphertext = timezone.now(), b""
            row.save(update_fields=["retired_at", "ciphertext"])
    return [key.key_id for key in gone]


def _counting() -> QuerySet[SigningKey]:
    return SigningKey.objects.filter(retired_at=None).order_by("pk")


def _signing() -> QuerySet[SigningKey]:
    return _counting().exclude(signs_since=None)


def _generation() -> int:
    """How often the keys that count have changed: it grows whatever the clock does."""
    counts = SigningKey.objects.aggregate(made=Count("pk"), began=Count("signs_since"), retired=Count("retired_at"))
    return sum(counts.values())


def _make_first(new: Signer) -> SigningKey:
    now: datetime = timezone.now()
    row = _row(new, signs_since=now)
    row.pk = _FIRST
    SigningKey.objects.bulk_create([row], ignore_conflicts=True)
    SigningKey.objects.filter(pk=_FIRST, signs_since=None).update(signs_since=now)
    return SigningKey.objects.get(pk=_FIRST)


def _row(new: Signer, **more: object) -> SigningKey:
    return SigningKey(
        key_id=new.key_id,
        verify_key=new.verify_key,
        ciphertext=settings.ECTS_AT_REST.encrypt(new.seed),
        **more,
    )
