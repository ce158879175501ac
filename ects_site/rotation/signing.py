"""Replaces the key that signs what workers do: made, learned by the workers, signing, everything signed anew, and at
last the old one retired. Workers that are away meanwhile follow when they are back (``coordination.trust``)."""

import time
from collections.abc import Iterable

from django.db.models import QuerySet

from coordination import crypto
from ects_site.rotation import Say, Waiting
from pipelines import publishing
from workers import keyring, store
from workers.models import Node, SigningKey

LOOK_EVERY = 0.5
"""Seconds between two looks at what the workers have reported, which they do every ten seconds."""


def rotate(say: Say, *, wait: float, force: bool, retire: bool) -> None:
    """Goes on with the rotation that has begun, else begins one. ``wait``: seconds for the workers that are online;
    ``force``: not for those that have not learned the key by then; ``retire``: not for those that are offline.

    Raises Waiting, CoordinationError, or CannotOpen.
    """
    pending = keyring.pending()
    if pending is None and not keyring.former():
        pending = keyring.make_next()
        say(f"made the key {pending.key_id}, vouched for by {pending.signed_by}")
    if pending is not None:
        _await_workers(pending, say, wait, force)
        keyring.begin_to_sign(pending)
    newest = keyring.fingerprint()
    say(f"{newest} signs")
    _sign_anew(say)
    lacking = [] if retire else _lacking(newest, _enrolled())
    if lacking:
        old = ", ".join(key.key_id for key in keyring.former())
        raise Waiting(
            f"{_names(lacking)} did not learn it yet, so {old} still counts. Run this again when they are back, or "
            "with --retire: they follow whenever they return"
        )
    for name in keyring.retire_former():
        say(f"{name} is retired")


def _await_workers(key: SigningKey, say: Say, wait: float, force: bool) -> None:
    deadline = time.monotonic() + wait
    said: list[Node] | None = None
    while lacking := _lacking(key.key_id, _enrolled().filter(online=True)):
        if lacking != said:
            say(f"{key.key_id} is not known yet to {_names(lacking)}")
            said = lacking
        if time.monotonic() >= deadline:
            if force:
                return
            old = [node for node in lacking if not node.trusted_keys]
            why = f"{_names(old)} must be updated first, or enrol again afterwards. " if old else ""
            raise Waiting(f"{key.key_id} is not known to {_names(lacking)}. {why}Run this again, or with --force")
        time.sleep(LOOK_EVERY)


def _sign_anew(say: Say) -> None:
    """By the resync, which takes what a former key signed for lost."""
    left = _signed_by_former()
    while left:
        say(f"{left} documents are to be signed anew")
        publishing.resync()
        before, left = left, _signed_by_former()
        if left >= before:
            raise Waiting(f"{left} documents in etcd are still signed by a former key: see manage.py doctor")


def _signed_by_former() -> int:
    """Of what lies in etcd; commands end by themselves within a minute."""
    gateway, keys = store.sync_gateway(), store.keys()
    names = {key.key_id for key in keyring.former()}
    items = [*gateway.snapshot(keys.all_pipelines()).items, *gateway.snapshot(keys.config()).items]
    return sum(crypto.signed_by(item.value) in names for item in items)


def _enrolled() -> QuerySet[Node]:
    return Node.objects.filter(mode=Node.Mode.WORKER).exclude(token_digest="").order_by("name")


def _lacking(key: str, nodes: Iterable[Node]) -> list[Node]:
    return [node for node in nodes if key not in (node.trusted_keys or ())]


def _names(nodes: Iterable[Node]) -> str:
    return ", ".join(node.name for node in nodes)
