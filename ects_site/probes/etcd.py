"""etcd, tested: connection and TLS of each endpoint, signing in, writing, the version, and what is there already."""

import re
import secrets
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing, suppress
from dataclasses import dataclass, field, replace

from django.utils.translation import get_language, ngettext, override
from django.utils.translation import gettext as _

from coordination import crypto
from coordination.errors import AuthenticationFailed, CoordinationError, PermissionDenied
from coordination.etcd import EtcdAccounts, SyncEtcd
from coordination.etcd.status import member_status
from coordination.gateway import Delete, EtcdSettings, KeyValue, Put, SyncGateway
from coordination.keys import Keys
from ects_site.configuration_file import Etcd
from ects_site.probes import endpoint, papers
from ects_site.probes.report import Report

TIMEOUT = 4.0
"""Seconds for each answer."""

PROBE_LIFE = 30
"""Seconds after which a probe that could not be deleted is gone."""

OLDEST = (3, 4)

UNSAFE = ((3, 5, 0), (3, 5, 2))
"""From and to: versions that can lose data when they crash (etcd's announcement of 3.5.3)."""


@dataclass
class EtcdReport(Report):
    """``signed_by``: the id of the key that signed the shared settings that are there; empty without such."""

    signed_by: str = ""
    versions: list[str] = field(default_factory=list)


def settings_of(etcd: Etcd) -> EtcdSettings:
    """As the client takes them."""
    return EtcdSettings(
        endpoints=tuple(etcd.endpoints),
        user=etcd.user,
        password=etcd.password,
        ca=etcd.ca,
        certificate=etcd.certificate,
        key=etcd.key,
    )


def probe(etcd: Etcd) -> EtcdReport:
    """Tests it. What it writes it deletes again."""
    report = EtcdReport()
    if (etcd.certificate or etcd.key) and not etcd.ca:
        report.refuse("ca", _("a client certificate is shown over TLS: the CA certificate of the server is needed too"))
    has_papers = etcd.ca or etcd.certificate or etcd.key
    context = papers.context(etcd.ca, etcd.certificate, etcd.key, report) if has_papers else None
    if report.wrong:
        return report
    if context is not None:
        context.set_alpn_protocols(["h2"])
    language = get_language() or "en"

    def speaks(each: str) -> list[tuple[str, str]]:
        # The language is a thread's own.
        with override(language):
            return list(endpoint.speaks(each, etcd, context))

    with ThreadPoolExecutor(len(etcd.endpoints)) as threads:
        for wrong in threads.map(speaks, etcd.endpoints):
            for name, sentence in wrong:
                report.refuse(name, sentence)
    if not report.wrong:
        _ask(etcd, report)
    return report


def _ask(etcd: Etcd, report: EtcdReport) -> None:
    try:
        clusters = [_see_member(each, etcd, report) for each in etcd.endpoints]
        telling = [told for told in zip(etcd.endpoints, clusters, strict=True) if told[1] is not None]
        for each, cluster in telling[1:]:
            if cluster != telling[0][1]:
                facts = {"endpoint": each, "other": telling[0][0]}
                report.refuse("endpoints", _("%(endpoint)s is of another cluster than %(other)s") % facts)
        if report.wrong:
            return
        with closing(SyncEtcd(settings_of(etcd))) as gateway:
            _write(gateway, etcd, report)
            _look(gateway, etcd, report)
        if etcd.user:
            _see_users(etcd, report)
    except CoordinationError as error:
        report.refuse(*_in_words(error, etcd))


def _see_member(each: str, etcd: Etcd, report: EtcdReport) -> int | None:
    """The id of its cluster; None when it does not tell."""
    only = replace(settings_of(etcd), endpoints=(each,))
    with closing(SyncEtcd(only)) as one:
        # First what needs a signed-in user: its status everybody is told, by etcd 3.4, and only root by later ones.
        one.get(Keys(etcd.prefix).probe(), timeout=TIMEOUT)
    try:
        status = member_status(only, TIMEOUT)
    except PermissionDenied:
        report.notes.append(_("%(endpoint)s answers; it tells its version to etcd's root only") % {"endpoint": each})
        return None
    report.versions.append(status.version)
    facts = {"endpoint": each, "version": status.version, "said": "; ".join(status.errors)}
    numbers = tuple(int(number) for number in re.findall(r"\d+", status.version)[:3])
    if numbers < OLDEST:
        report.refuse("endpoints", _("%(endpoint)s is etcd %(version)s: 3.4 or newer is needed") % facts)
    if status.errors:
        report.refuse("endpoints", _("%(endpoint)s is not well: %(said)s (see docs/how-to/etcd.md)") % facts)
    report.notes.append(_("%(endpoint)s: etcd %(version)s answers") % facts)
    if UNSAFE[0] <= numbers <= UNSAFE[1]:
        report.notes.append(_("etcd 3.5.0 to 3.5.2 can lose data in a crash: update it"))
    return status.cluster


def _write(gateway: SyncEtcd, etcd: Etcd, report: EtcdReport) -> None:
    """Writes a probe with a lease, reads it, and deletes it."""
    key, nonce = Keys(etcd.prefix).probe(), secrets.token_bytes(16)
    lease = gateway.grant(PROBE_LIFE, timeout=TIMEOUT)
    try:
        gateway.transact([], [Put(key, nonce, lease.id)], timeout=TIMEOUT)
        item = gateway.get(key, timeout=TIMEOUT)
        gateway.transact([], [Delete(key)], timeout=TIMEOUT)
    finally:
        with suppress(CoordinationError):
            gateway.revoke(lease.id, timeout=TIMEOUT)
    if item is None or item.value != nonce:
        report.refuse("endpoints", _("what is written to etcd is not read from it: is somebody else testing there?"))
        return
    report.notes.append(_("a key below %(prefix)s can be written, read and deleted") % {"prefix": etcd.prefix})


def _see_users(etcd: Etcd, report: EtcdReport) -> None:
    """How workers will sign in: each as a user that the console makes, or all as one that is there."""
    with closing(EtcdAccounts(settings_of(etcd))) as accounts:
        if not accounts.is_required():
            sentence = _(
                "etcd has authentication off, so it lets in anybody: "
                "manage.py setup --secure-etcd, or etcdctl auth enable"
            )
            report.notes.append(sentence)
        elif etcd.worker_user:
            _sign_in_as_worker(etcd, report)
        else:
            try:
                accounts.users()
                report.notes.append(_("each worker will get an etcd user of its own"))
            except PermissionDenied:
                sentence = _(
                    "%(user)s may not make users for the workers: etcdctl user grant-role %(user)s root. Or name a "
                    "user that all workers share, below."
                )
                report.refuse("user", sentence % {"user": etcd.user})


def _sign_in_as_worker(etcd: Etcd, report: EtcdReport) -> None:
    settings = replace(settings_of(etcd), user=etcd.worker_user, password=etcd.worker_password)
    with closing(SyncEtcd(settings)) as worker:
        try:
            worker.get(Keys(etcd.prefix).config(), timeout=TIMEOUT)
        except AuthenticationFailed:
            report.refuse("worker_password", _("etcd refuses this user with this password: check both"))
        except PermissionDenied:
            sentence = _("%(user)s may not read below %(prefix)s: see docs/how-to/etcd.md for what workers need")
            report.refuse("worker_user", sentence % {"user": etcd.worker_user, "prefix": etcd.prefix})


def _look(gateway: SyncGateway, etcd: Etcd, report: EtcdReport) -> None:
    """What is there already below the prefix."""
    keys = Keys(etcd.prefix)
    items = gateway.snapshot(f"{etcd.prefix}/", timeout=TIMEOUT).items
    if not items:
        report.notes.append(_("nothing is below %(prefix)s yet") % {"prefix": etcd.prefix})
        return
    report.signed_by = _signer(next((item for item in items if item.key == keys.config()), None))
    kinds = Counter(item.key.removeprefix(f"{etcd.prefix}/").partition("/")[0] for item in items)
    facts = {"count": len(items), "prefix": etcd.prefix}
    said = [ngettext("%(count)d key", "%(count)d keys", len(items)) % facts]
    nodes, pipelines = kinds["nodes"], kinds["pipelines"]
    said.append(ngettext("%(n)d node that is online", "%(n)d nodes that are online", nodes) % {"n": nodes})
    said.append(ngettext("%(n)d pipeline of a node", "%(n)d pipelines of nodes", pipelines) % {"n": pipelines})
    if report.signed_by:
        said.append(_("signed by key %(key)s") % {"key": report.signed_by})
    facts = {"prefix": etcd.prefix, "what": ", ".join(said)}
    report.holds.append(_("Below %(prefix)s there is an installation already: %(what)s.") % facts)


def _signer(config: KeyValue | None) -> str:
    return crypto.signed_by(config.value) if config else ""


def _in_words(error: Exception, etcd: Etcd) -> tuple[str, str]:
    if isinstance(error, AuthenticationFailed):
        if not etcd.user:
            return "user", _("this etcd lets nobody in without a user and a password: give both")
        return "password", _("etcd refuses this user with this password: check both")
    if isinstance(error, PermissionDenied) and not etcd.user:
        sentence = _(
            "without a user, etcd lets nobody read and write below %(prefix)s: give a user and a password, or a client "
            "certificate whose common name is a user"
        )
        return "user", sentence % {"prefix": etcd.prefix}
    if isinstance(error, PermissionDenied):
        facts = {"user": etcd.user, "prefix": etcd.prefix}
        return "user", _(
            "%(user)s may not read and write below %(prefix)s: "
            "etcdctl role grant-permission ROLE readwrite --prefix=true %(prefix)s/"
        ) % facts
    return "endpoints", str(error)
