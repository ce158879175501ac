"""A certificate authority for one test, made with openssl."""

import subprocess
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

DAY = timedelta(days=1)

_SETTINGS = """[ca]
default_ca = it
[it]
database = {directory}/index
new_certs_dir = {directory}
rand_serial = yes
unique_subject = no
default_md = sha256
policy = any
[any]
commonName = supplied
"""


@dataclass(frozen=True)
class Authority:
    """Makes keys and certificates in a directory; everything is valid from yesterday, should a clock be behind, until
    tomorrow."""

    directory: Path
    name: str

    @property
    def certificate(self) -> Path:
        return self.directory / f"{self.name}.pem"

    @property
    def key(self) -> Path:
        return self.directory / f"{self.name}.key"

    def create(self, later: timedelta = timedelta(0)) -> "Authority":
        """Make the authority's own key and certificate, valid so much later, or earlier."""
        use = "basicConstraints=critical,CA:true\nkeyUsage=critical,keyCertSign,cRLSign\n"
        self._sign(self, use, "-selfsign", later=later)
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
        listed = ",".join([*names, *(f"IP:{address}" for address in addresses)])
        extensions = f"subjectAltName={listed}\nextendedKeyUsage={usage}\n"
        self._sign(issued, extensions, "-cert", str(self.certificate))
        return issued

    def _sign(self, issued: "Authority", extensions: str, *how: str, later: timedelta = timedelta(0)) -> None:
        request, extended, settings = (self.directory / f"{issued.name}.{end}" for end in ("csr", "ext", "cnf"))
        extended.write_text(extensions)
        settings.write_text(_SETTINGS.format(directory=self.directory))
        (self.directory / "index").touch()
        new_key = ("-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-keyout", str(issued.key))
        _openssl("req", *new_key, "-subj", f"/CN={issued.name}", "-out", str(request))
        now = datetime.now(UTC) + later
        times = ("-startdate", f"{now - DAY:%Y%m%d%H%M%SZ}", "-enddate", f"{now + DAY:%Y%m%d%H%M%SZ}")
        files = ("-in", str(request), "-extfile", str(extended), "-out", str(issued.certificate))
        _openssl("ca", "-batch", "-notext", "-config", str(settings), *how, "-keyfile", str(self.key), *times, *files)


def _openssl(*arguments: str) -> None:
    subprocess.run(["openssl", *arguments], check=True, capture_output=True)
