"""Publishes ``/ects/config``: the settings that every node shares, signed."""

from django.conf import settings
from django.db import transaction
from msgspec import DecodeError, structs

from coordination import crypto, documents
from coordination.documents import SharedConfig
from coordination.gateway import CALL_TIMEOUT, Compare, KeyValue, Put
from pipelines.models import Control
from pipelines.outbox import next_generation
from workers import keyring, store

RACES = 5
"""Lost races for the key before the next call is left to try."""


def publish_config(timeout: float = CALL_TIMEOUT) -> None:
    """Makes etcd show the global pause and the server's address as they now are.

    A content that changed without the switch (another address in the environment) gets a new generation. ``timeout``
    bounds each call, in seconds. Raises CoordinationError.
    """
    gateway, key = store.sync_gateway(), store.keys().config()
    for _ in range(RACES):
        current = gateway.get(key, timeout=timeout)
        held = _open(current)
        wanted = _wanted(held)
        signer = keyring.signer()
        if current is not None and wanted == held and crypto.signed_by(current.value) == signer.key_id:
            return _record(wanted.generation)
        envelope = signer.sign("config", documents.encode(wanted))
        compare = Compare.unchanged(key, current.mod_revision if current else 0)
        if gateway.transact([compare], [Put(key, envelope)], timeout=timeout).succeeded:
            return _record(wanted.generation)
    return None


def _wanted(held: SharedConfig | None) -> SharedConfig:
    """The settings as they should stand, of a generation that a node which holds ``held`` accepts."""
    with transaction.atomic():
        control, _ = Control.objects.select_for_update().get_or_create(pk=1)
        wanted = SharedConfig(generation=control.generation, server_url=settings.ECTS_SERVER_URL, paused=control.paused)
        newest = held.generation if held else 0
        same = held is not None and structs.replace(wanted, generation=newest) == held
        if not wanted.generation or newest > wanted.generation or (newest == wanted.generation and not same):
            control.generation = next_generation(max(newest, control.generation))
            control.save()
    return structs.replace(wanted, generation=control.generation)


def _open(item: KeyValue | None) -> SharedConfig | None:
    """What the console itself has put there; None for nothing, and for what somebody else has."""
    if item is None:
        return None
    try:
        return documents.decode_config(crypto.verify("config", item.value, keyring.verify_keys()))
    except (crypto.Refused, DecodeError):
        return None


def _record(generation: int) -> None:
    Control.objects.filter(pk=1, published__lt=generation).update(published=generation)
