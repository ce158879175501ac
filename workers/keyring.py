"""The console's signing keys: the newest signs, all are handed to workers, each is vouched for by the one before."""

import hashlib
import hmac
import os

from django.conf import settings
from django.db import transaction

from coordination import crypto
from coordination.crypto import Signer
from workers.models import SigningKey

_FIRST = 1
"""The primary key of the first signing key: of two processes that make it at once, the database lets one."""


def signer() -> Signer:
    """The key that signs now; made when there is none yet. Raises CannotOpen under another encryption key."""
    newest = SigningKey.objects.order_by("-id").first()
    return (newest or _make_first()).signer()


def verify_keys() -> dict[str, bytes]:
    """Every key by its id, the present one included."""
    signer()
    return {key_id: bytes(key) for key_id, key in SigningKey.objects.values_list("key_id", "verify_key")}


def fingerprint() -> str:
    """Names the present key; an enrolment token carries it."""
    return signer().key_id


def rotate() -> Signer:
    """A new key, signed by the old one. Workers that are online learn it with their next enrolment."""
    with transaction.atomic():
        old = signer()
        new = Signer(os.urandom(32))
        signature = old.sign("config", new.verify_key.hex().encode())
        _row(new, signed_by=old.key_id, signature=signature).save(force_insert=True)
    return new


def digest_key() -> bytes:
    """The HMAC key by which equal documents are recognised; derived from the encryption key (RFC 2104)."""
    return hmac.new(settings.ECTS_ENCRYPTION_KEY, b"ects document digest", hashlib.sha256).digest()


def _make_first() -> SigningKey:
    row = _row(Signer(os.urandom(32)))
    row.pk = _FIRST
    SigningKey.objects.bulk_create([row], ignore_conflicts=True)
    return SigningKey.objects.get(pk=_FIRST)


def _row(new: Signer, **more: object) -> SigningKey:
    return SigningKey(
        key_id=new.key_id,
        verify_key=new.verify_key,
        ciphertext=crypto.encrypt(settings.ECTS_ENCRYPTION_KEY, new.seed),
        **more,
    )
