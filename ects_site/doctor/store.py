"""etcd: each endpoint, writing, and what must be in it."""

import time
from collections.abc import Iterator
from contextlib import closing
from dataclasses import replace

from django.conf import settings

from coordination.errors import CoordinationError, PermissionDenied
from coordination.etcd import EtcdAccounts, SyncEtcd
from coordination.finding import Finding, Verdict, fail, ok, warn
from coordination.gateway import Delete, EtcdSettings, Put
from ects_site.doctor import certificates, members
from workers import accounts, store

TIMEOUT = 3.0
"""Seconds for each endpoint's answer."""

SLOW = 0.5
"""Seconds for a write, above which leases are in danger when there is load."""


def check() -> Iterator[Finding]:
    """Findings on etcd."""
    etcd = settings.ECTS_ETCD
    answers = [_endpoint(replace(etcd, endpoints=(endpoint,))) for endpoint in etcd.endpoints]
    yield from answers
    yield from certificates.check(etcd)
    if all(answer.verdict is Verdict.FAIL for answer in answers):
        return
    yield from members.check(etcd)
    yield _writing(etcd)
    with closing(SyncEtcd(etcd)) as gateway:
        if gateway.get(store.keys().epoch(), timeout=TIMEOUT) is None:
            advice = "Start manage.py runmaster: the leading master fills an empty etcd by itself."
            yield fail("etcd", f"there is nothing under {settings.ECTS_ETCD_PREFIX}/ yet", advice)
    yield from _exposure(etcd)
    if etcd.user:
        yield from _users(etcd)


def _endpoint(one: EtcdSettings) -> Finding:
    name = one.endpoints[0]
    began = time.monotonic()
    try:
        with closing(SyncEtcd(one)) as gateway:
            gateway.get(store.keys().epoch(), timeout=TIMEOUT)
    except CoordinationError as error:
        advice = "Start that member, or correct ECTS_ETCD_ENDPOINTS, user, password or certificates."
        return fail("etcd", f"{name} does not answer: {error}", advice)
    return ok("etcd", f"{name} answers in {(time.monotonic() - began) * 1000:.0f} ms")


def _writing(etcd: EtcdSettings) -> Finding:
    key = store.keys().probe()
    try:
        with closing(SyncEtcd(etcd)) as gateway:
            began = time.monotonic()
            gateway.transact([], [Put(key, b"")], timeout=TIMEOUT)
            took = time.monotonic() - began
            gateway.transact([], [Delete(key)], timeout=TIMEOUT)
    except CoordinationError as error:
        advice = "Is there a majority of members, space under the quota, and the right to write?"
        return fail("etcd", f"cannot be written: {error}", advice)
    words = f"a write takes {took * 1000:.0f} ms"
    return ok("etcd", words) if took < SLOW else warn("etcd", words, "Give etcd a faster disk of its own.")


def _users(etcd: EtcdSettings) -> Iterator[Finding]:
    """The users of the workers, while the console has one."""
    with closing(EtcdAccounts(etcd)) as users:
        if not users.is_required():
            words = f"has authentication off, although ECTS_ETCD_USER is {etcd.user}: whoever reaches it can change it"
            yield fail("etcd", words, "Switch it on: manage.py setup --secure-etcd, or etcdctl auth enable.")
    if shared := settings.ECTS_ETCD_WORKER_USER:
        words = f"all workers share the user {shared}: one that is broken into can read what is meant for another"
        yield warn("etcd", words, "Give the console's user the role root, and unset ECTS_ETCD_WORKER_USER.")
        return
    try:
        missing = accounts.missing()
    except PermissionDenied:
        yield fail("etcd", f"no host can join: {accounts.Unmanageable()}", "See docs/how-to/etcd.md, Passwords.")
        return
    if missing:
        words = f"{len(missing)} workers miss their user in etcd"
        yield warn("etcd", words, "The leading master makes them within some seconds: see its log.")
    if without := accounts.without():
        words = f"{', '.join(without)}: joined before the console had an etcd user, and have none"
        yield warn("etcd", words, "Have them join again: the node's page gives the line.")
    if not missing and not without:
        yield ok("etcd", "each worker has a user of its own")


def _exposure(etcd: EtcdSettings) -> Iterator[Finding]:
    if not (etcd.is_local or etcd.ca or etcd.user):
        advice = "Switch TLS and passwords on (docs/how-to/etcd.md)."
        yield warn("etcd", "neither TLS nor a password protects it", advice)
    yield ok("etcd", "is never restored from a backup: start it empty, and everything is published again")
