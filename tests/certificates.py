"""A certificate authority for one test, made with openssl."""

import subprocess
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class Authority:
    """Makes keys and certificates in a directory; everything is valid for a day."""

    directory: Path
    name: str

    @property
    def certificate(self) -> Path:
        return self.directory / f"{self.name}.pem"

    @property
    def key(self) -> Path:
        return self.directory / f"{self.name}.key"

    def create(self) -> "Authority":
        """Make the authority's own key and certificate."""
        subject = ("-subj", f"/CN={self.name}", "-addext", "keyUsage=critical,keyCertSign,cRLSign")
        _openssl("req", "-x509", *_new_key(self.key), "-days", "1", *subject, "-out", str(self.certificate))
        return self

    def issue(
        self,
        name: str,
        usage: str,
        addresses: Sequence[str] = (),
        names: Sequence[str] = ("IP:127.0.0.1", "DNS:localhost"),
    ) -> "Authority":
        """A key and a certificate for these names and addresses; ``usage`` is serverAuth or clientAuth, or both."""
        issued = Authority(self.directory, name)
        request, extensions = self.directory / f"{name}.csr", self.directory / f"{name}.ext"
        listed = ",".join([*names, *(f"IP:{address}" for address in addresses)])
        extensions.write_text(f"subjectAltName={listed}\nextendedKeyUsage={usage}\n")
        _openssl("req", *_new_key(issued.key), "-subj", f"/CN={name}", "-out", str(request))
        authority = ("-CA", str(self.certificate), "-CAkey", str(self.key), "-CAcreateserial", "-days", "1")
        _openssl("x509", "-req", "-in", str(request), *authority, *_files(extensions, issued.certificate))
        return issued


def _new_key(path: Path) -> tuple[str, ...]:
    return ("-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-keyout", str(path))


def _files(extensions: Path, out: Path) -> tuple[str, ...]:
    return ("-extfile", str(extensions), "-out", str(out))


def _openssl(*arguments: str) -> None:
    subprocess.run(["openssl", *arguments], check=True, capture_output=True)
