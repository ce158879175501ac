"""The console's keys, tested against what the database and etcd hold under them."""

from collections.abc import Sequence
from dataclasses import dataclass

from django.utils.translation import gettext as _

from coordination import crypto
from coordination.crypto import CannotOpen, Signer
from ects_site.configuration_file import SHORTEST_SECRET, Auth
from ects_site.probes.contents import Contents
from ects_site.probes.report import Report


@dataclass
class KeysReport(Report):
    """``fingerprint``: of the key that will sign; empty while it is still to be made."""

    fingerprint: str = ""


def probe(auth: Auth, present_keys: Sequence[bytes], contents: Contents, signed_by: str) -> KeysReport:
    """``present_keys``: the encryption keys of this host. ``signed_by``: the key of what is in etcd, or empty."""
    report = KeysReport()
    if auth.secret and len(auth.secret) < SHORTEST_SECRET:
        report.notes.append(_("auth.secret is too short to sign with; a random one is made and kept instead"))
    given = crypto.key_id(Signer(bytes.fromhex(auth.signing)).verify_key) if auth.signing else ""
    report.fingerprint = contents.signing[0] if contents.signing else given
    if contents.signing is not None:
        key_id, ciphertext = contents.signing
        given_keys = [bytes.fromhex(key) for key in auth.encryption.split()]
        if not any(_opens(key, ciphertext) for key in given_keys or present_keys):
            sentence = _(
                "The database's keys and secrets are encrypted under another key: take over secrets/encryption_key "
                "of the host that made it."
            )
            report.refuse("encryption", sentence)
        if given not in ("", key_id):
            sentence = _("The database has a signing key of its own, %(key)s, which workers know: leave this empty.")
            report.refuse("signing", sentence % {"key": key_id})
    if signed_by and report.fingerprint and signed_by != report.fingerprint:
        facts = {"theirs": signed_by, "ours": report.fingerprint}
        report.notes.append(
            _("What is in etcd is signed by %(theirs)s, not by %(ours)s: it is another installation's, or out of date")
            % facts
        )
    return report


def _opens(key: bytes, ciphertext: bytes) -> bool:
    try:
        crypto.decrypt(key, ciphertext)
    except CannotOpen:
        return False
    return True
