"""An etcd that asks for a client certificate and for a password, as in production."""

import secrets
from collections.abc import Sequence
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from coordination.etcd import EtcdAccounts, SyncEtcd
from coordination.etcd import etcd_pb2 as pb
from coordination.etcd.calls import Method
from coordination.gateway import CALL_TIMEOUT, EtcdSettings
from tests.certificates import Authority

_COMPACT = Method("/etcdserverpb.KV/Compact", pb.DeleteRangeResponse)
"""The reply has the form of this one, as far as it matters: nothing of it is read."""


@dataclass(frozen=True)
class _CompactionRequest:
    """A message of etcd's that the product has no use for. ``revision``, field 1; field 2: wait until it is done."""

    revision: int

    def SerializeToString(self) -> bytes:
        digits, rest = [], self.revision
        while rest > 127:
            digits.append(rest & 127 | 128)
            rest >>= 7
        return bytes([8, *digits, rest, 16, 1])


class Security:
    """Makes what etcd's members and their clients need, in ``directory``. ``addresses``: of the members, beside the
    loopback.

    Start the members with ``server_settings``, then ``switch_on`` passwords.
    """

    def __init__(self, directory: Path, addresses: Sequence[str] = ()) -> None:
        directory.mkdir(parents=True, exist_ok=True)
        self._authority = Authority(directory, "etcd-ca").create()
        # Members are clients of each other.
        self._member = self._authority.issue("etcd-member", "serverAuth,clientAuth", addresses)
        # Its name is that of no user: who has a certificate only is nobody.
        self._client = self._authority.issue("etcd-client", "clientAuth")
        self._password = secrets.token_urlsafe(32)

    def server_settings(self) -> dict[str, Any]:
        """Arguments of ``EtcdServer``."""
        files = {
            "cert-file": self._member.certificate,
            "key-file": self._member.key,
            "trusted-ca-file": self._authority.certificate,
        }
        options = [word for name, file in files.items() for word in (f"--{name}", str(file))]
        options += [word for name, file in files.items() for word in (f"--peer-{name}", str(file))]
        options += ["--client-cert-auth", "--peer-client-cert-auth", "--bcrypt-cost", "4"]
        return {"options": options, "scheme": "https", "peer_scheme": "https"}

    def settings(self, endpoints: Sequence[str]) -> EtcdSettings:
        """How the console, as root, reaches it."""
        return EtcdSettings(
            tuple(endpoints),
            user="root",
            password=self._password,
            ca=str(self._authority.certificate),
            certificate=str(self._client.certificate),
            key=str(self._client.key),
        )

    def environment(self, endpoints: Sequence[str]) -> dict[str, str]:
        """The same as the console's settings."""
        root = self.settings(endpoints)
        return {
            "ECTS_ETCD_ENDPOINTS": ",".join(endpoints),
            "ECTS_ETCD_USER": root.user,
            "ECTS_ETCD_PASSWORD": root.password,
            "ECTS_ETCD_CA": root.ca,
            "ECTS_ETCD_CERT": root.certificate,
            "ECTS_ETCD_KEY": root.key,
        }

    def compact(self, endpoints: Sequence[str], revision: int) -> None:
        """Has etcd forget what was before this revision. Its JSON gateway takes nobody with a certificate."""
        with closing(SyncEtcd(self.settings(endpoints))) as client:
            client.call(_COMPACT, _CompactionRequest(revision), CALL_TIMEOUT)

    def switch_on(self, endpoints: Sequence[str]) -> None:
        """From now on etcd asks for a user and a password."""
        with closing(EtcdAccounts(self.settings(endpoints))) as accounts:
            accounts.require(self._password)
