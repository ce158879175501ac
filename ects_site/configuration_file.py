"""The configuration file of ``init``, in the original system's form, and what it means as environment variables."""

import json
import re
from collections.abc import Iterator
from email.utils import formataddr
from pathlib import Path
from typing import Annotated, Any, Literal
from urllib.parse import quote, urlsplit

import msgspec
import yaml
from django.utils.functional import Promise
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy
from msgspec import Meta, Struct, field, structs

from coordination.addresses import is_endpoint

Mode = Literal["json", "yaml"]

SHORTEST_SECRET = 32
"""Characters; a shorter signing secret could be guessed."""

STARTTLS_PORTS = (25, 587)
"""Where a mail server begins in the clear (RFC 6409, section 3.1)."""

MUST_BE: dict[str, str | Promise] = {
    "database.name": gettext_lazy("1 to 64 letters, digits, _, - or $"),
    "database.char": gettext_lazy("utf8mb4, which holds every text"),
    "etcd.config": gettext_lazy("a path of two parts or more whose last is config, such as /ects/config"),
    "auth.encryption": gettext_lazy("32 bytes in hexadecimal, such as openssl rand -hex 32 makes"),
    "auth.signing": gettext_lazy("32 bytes in hexadecimal, such as openssl rand -hex 32 makes"),
    "notification.protocol": gettext_lazy("smtp"),
    "notification.encryption": gettext_lazy("none, ssl, tls or starttls"),
}
"""What types cannot say in words of ours, by field."""

Port = Annotated[int, Meta(ge=1, le=65535)]
Text = Annotated[str, Meta(min_length=1)]
Seed = Annotated[str, Meta(pattern=r"^([0-9a-fA-F]{64})?$")]
Seeds = Annotated[str, Meta(pattern=r"^([0-9a-fA-F]{64}( [0-9a-fA-F]{64})*)?$")]


class Invalid(Exception):
    """What is wrong, by field (such as ``database.port``; empty: the file) and sentence."""

    def __init__(self, *wrong: tuple[str, str]) -> None:
        super().__init__("\n".join(": ".join(filter(None, each)) for each in wrong))
        self.wrong = wrong


class Database(Struct, forbid_unknown_fields=True):
    """MySQL or MariaDB. ``host`` may be the path of a socket.

    ``tls``: ``required`` encrypts, ``verify`` checks as well that the server is the one that ``host`` names, by the
    authority whose certificate ``ca`` is (a PEM file; empty: those that this machine trusts). ``cert`` and ``key``
    (PEM files) are shown to a server that asks for them.
    """

    name: Annotated[str, Meta(pattern=r"^[A-Za-z0-9_$-]{1,64}$")]
    user: Text
    host: Text = "127.0.0.1"
    port: Port = 3306
    password: str = field(default="", name="pass")
    charset: Literal["utf8mb4"] = field(default="utf8mb4", name="char")
    tls: Literal["", "none", "required", "verify"] = ""
    ca: str = ""
    certificate: str = field(default="", name="cert")
    key: str = ""

    @property
    def is_socket(self) -> bool:
        """Whether ``host`` is a path."""
        return self.host.startswith("/")

    @property
    def address(self) -> str:
        """The host to connect to. The client library takes "localhost" for its socket, and then ignores the port."""
        return "127.0.0.1" if self.host == "localhost" else self.host

    @property
    def tls_options(self) -> dict[str, str]:
        """As the URL has them behind its question mark. Files stand for ``verify``, and an authority is asked."""
        named = {"ssl_ca": self.ca, "ssl_cert": self.certificate, "ssl_key": self.key}
        files = {name: str(Path(path).absolute()) for name, path in named.items() if path}
        if self.tls == "none" or not (self.tls or files):
            return {}
        is_blind = self.tls == "required" and not self.ca
        return {"ssl_mode": "REQUIRED" if is_blind else "VERIFY_IDENTITY"} | files

    def url(self) -> str:
        """As ``ECTS_DATABASE_URL`` has it."""
        account = f"{quote(self.user, safe='')}:{quote(self.password, safe='')}"
        host = f"[{self.address}]" if ":" in self.address else self.address
        place, options = f"{host}:{self.port}", self.tls_options
        if self.is_socket:
            place, options = "", {"unix_socket": self.host} | options
        asked = "&".join(f"{name}={quote(value, safe='/')}" for name, value in options.items())
        return f"mysql://{account}@{place}/{self.name}{'?' if asked else ''}{asked}"


class Auth(Struct, forbid_unknown_fields=True):
    """The console's keys. ``ttl``: seconds for which an API token is good, 0 for ever.

    ``encryption`` is the key under which the database holds secrets, and ``signing`` the seed of the first key that
    signs for workers, which the database keeps; all are made when they are left out. ``encryption`` may name former
    keys behind the present one, with spaces between.
    """

    secret: str = ""
    ttl: Annotated[int, Meta(ge=0)] = 0
    encryption: Seeds = ""
    signing: Seed = ""


class Etcd(Struct, forbid_unknown_fields=True):
    """``config`` gives the prefix of all keys; the other keys have to be below the same.

    ``worker_user``: the user that workers share where ``user`` may not make one for each.
    """

    endpoints: Annotated[list[Text], Meta(min_length=1)]
    config: Annotated[str, Meta(pattern=r"^/.+/config$")] = "/ects/config"
    service: str | None = None
    pipeline: str | None = None
    killer: str | None = None
    locker: str | None = None
    timeout: Annotated[float, Meta(gt=0)] = 5
    user: str = ""
    password: str = field(default="", name="pass")
    ca: str = ""
    certificate: str = field(default="", name="cert")
    key: str = ""
    worker_user: str = ""
    worker_password: str = field(default="", name="worker_pass")

    @property
    def prefix(self) -> str:
        """Of all keys, without a slash at the end."""
        return self.config.removesuffix("/config")


class Notification(Struct, forbid_unknown_fields=True):
    """The mail server. ``url`` is the console's address, ``name`` the sender's."""

    url: str = ""
    host: str = ""
    port: Port = 25
    user: str = ""
    password: str = field(default="", name="pass")
    name: str = ""
    protocol: Literal["", "smtp"] = ""
    encryption: Literal["", "none", "tls", "ssl", "starttls"] = ""

    @property
    def tls(self) -> str:
        """As ``ECTS_EMAIL_TLS`` has it: "tls" means STARTTLS to many programs, and where the server begins in the
        clear it can be nothing else."""
        if self.encryption == "tls" and self.port in STARTTLS_PORTS:
            return "starttls"
        return self.encryption.replace("ssl", "tls")

    @property
    def sender(self) -> str:
        """The sender's address, with its name where there is one; empty when nothing says it."""
        if "@" in self.name or not self.name:
            return self.name
        return formataddr((self.name, self.user)) if "@" in self.user else ""


class Console(Struct, forbid_unknown_fields=True):
    """What ``single`` runs on this machine. ``bind`` and ``port``: where the console listens, empty for the default.

    ``worker``: whether this machine executes too.
    """

    bind: str = ""
    port: Port | None = None
    worker: bool = True


class Configuration(Struct, forbid_unknown_fields=True):
    """The whole file. Without ``database``: SQLite. Without ``etcd``: the private one of ``single``."""

    database: Database | None = None
    auth: Auth = field(default_factory=Auth)
    etcd: Etcd | None = None
    notification: Notification = field(default_factory=Notification)
    console: Console = field(default_factory=Console)


SECTIONS: dict[str, type[Struct]] = {
    "database": Database,
    "auth": Auth,
    "etcd": Etcd,
    "notification": Notification,
    "console": Console,
}


def read(path: Path, mode: Mode) -> Configuration:
    """Reads and checks the file. Raises Invalid."""
    try:
        text = path.read_text()
        content = json.loads(text) if mode == "json" else yaml.safe_load(text)
    except OSError as error:
        raise Invalid(("", f"{path} cannot be read: {error.strerror}")) from None
    except (ValueError, yaml.YAMLError) as error:
        raise Invalid(("", f"{path} is not {mode.upper()}: {error}")) from None
    return configuration({} if content is None else content)


def configuration(content: Any) -> Configuration:
    """The file's content, checked. Raises Invalid with all that is wrong."""
    try:
        converted = msgspec.convert(content, Configuration, strict=False)
    except msgspec.ValidationError as error:
        raise Invalid(_readable(str(error))) from None
    if wrong := list(_wrong(converted)):
        raise Invalid(*wrong)
    return converted


def name_in_file(section: str, attribute: str) -> str:
    """A field by the name that it has in the file, such as ``database.pass``; what is none stands for its section."""
    names = {each.name: f"{section}.{each.encode_name}" for each in structs.fields(SECTIONS[section])}
    return names.get(attribute, section)


def environment(configuration: Configuration) -> dict[str, str]:
    """The settings that the file stands for; what it leaves out is not among them."""
    wanted = {"ECTS_TOKEN_SECONDS": str(configuration.auth.ttl or "")}
    if configuration.database is not None:
        wanted["ECTS_DATABASE_URL"] = configuration.database.url()
    if configuration.etcd is not None:
        wanted |= _of_etcd(configuration.etcd)
    wanted |= _of_mail(configuration.notification)
    wanted |= _of_console(configuration.console)
    return {name: value for name, value in wanted.items() if value}


def keys(configuration: Configuration) -> dict[str, str]:
    """The keys that it brings along, by the names of ``environment.secret``."""
    auth = configuration.auth
    held = {
        "SECRET_KEY": auth.secret if len(auth.secret) >= SHORTEST_SECRET else "",
        # One a line, as rotatekeys keeps them.
        "ENCRYPTION_KEY": "\n".join(auth.encryption.split()),
    }
    return {name: value for name, value in held.items() if value}


SETTINGS = frozenset(
    (
        # The first two come from files that an earlier version has written.
        *("ECTS_SECRET_KEY", "ECTS_ENCRYPTION_KEY", "ECTS_TOKEN_SECONDS", "ECTS_DATABASE_URL"),
        *("ECTS_ETCD_ENDPOINTS", "ECTS_ETCD_PREFIX", "ECTS_ETCD_USER", "ECTS_ETCD_PASSWORD"),
        *("ECTS_ETCD_WORKER_USER", "ECTS_ETCD_WORKER_PASSWORD", "ECTS_ETCD_CA", "ECTS_ETCD_CERT", "ECTS_ETCD_KEY"),
        *("ECTS_SERVER_URL", "ECTS_EMAIL_HOST", "ECTS_EMAIL_PORT", "ECTS_EMAIL_USER", "ECTS_EMAIL_PASSWORD"),
        *("ECTS_EMAIL_TLS", "ECTS_EMAIL_FROM", "ECTS_BIND", "ECTS_PORT", "ECTS_LOCAL_WORKER"),
    )
)
"""All that ``environment`` may name."""


def _of_etcd(etcd: Etcd) -> dict[str, str]:
    return {
        "ECTS_ETCD_ENDPOINTS": ",".join(etcd.endpoints),
        "ECTS_ETCD_PREFIX": etcd.prefix,
        "ECTS_ETCD_USER": etcd.user,
        "ECTS_ETCD_PASSWORD": etcd.password,
        "ECTS_ETCD_WORKER_USER": etcd.worker_user,
        "ECTS_ETCD_WORKER_PASSWORD": etcd.worker_password,
        **{
            # Later commands are started in other directories.
            f"ECTS_ETCD_{name}": str(Path(path).absolute()) if path else ""
            for name, path in (("CA", etcd.ca), ("CERT", etcd.certificate), ("KEY", etcd.key))
        },
    }


def _of_mail(mail: Notification) -> dict[str, str]:
    wanted = {"ECTS_SERVER_URL": mail.url.rstrip("/")}
    if mail.host:
        wanted |= {
            "ECTS_EMAIL_HOST": mail.host,
            "ECTS_EMAIL_PORT": str(mail.port),
            "ECTS_EMAIL_USER": mail.user,
            "ECTS_EMAIL_PASSWORD": mail.password,
            "ECTS_EMAIL_TLS": mail.tls,
            "ECTS_EMAIL_FROM": mail.sender,
        }
    return wanted


def _of_console(console: Console) -> dict[str, str]:
    return {
        "ECTS_BIND": console.bind,
        "ECTS_PORT": str(console.port or ""),
        "ECTS_LOCAL_WORKER": "" if console.worker else "no",
    }


def _readable(message: str) -> tuple[str, str]:
    """msgspec's ``Expected `int`, got `str` - at `$.database.port`` as field and sentence."""
    said, _at, where = message.partition(" - at `")
    name = where.rstrip("`").removeprefix("$").removeprefix(".")
    if named := re.search(r"(missing required|contains unknown) field `(\w+)`", said):
        full = ".".join(filter(None, (name, named[2])))
        return full, _("it is missing") if named[1].startswith("missing") else _("there is no such field")
    if name in MUST_BE:
        return name, _("it must be %(what)s") % {"what": MUST_BE[name]}
    return name or "the file", f"{said[:1].lower()}{said[1:]}"


def _wrong(configuration: Configuration) -> Iterator[tuple[str, str]]:
    """What types do not say."""
    if (etcd := configuration.etcd) is not None:
        for each in etcd.endpoints:
            if not is_endpoint(each):
                yield "etcd.endpoints", _("%(endpoint)r is not HOST:PORT") % {"endpoint": each}
        for name, place in (("service", "/nodes"), ("pipeline", "/pipelines")):
            if getattr(etcd, name) not in (None, "", etcd.prefix + place):
                where = {"place": etcd.prefix + place}
                yield f"etcd.{name}", _("ECTS keeps it at %(place)s, below the prefix of etcd.config") % where
    url = configuration.notification.url
    if url and not _is_url(url):
        yield (
            "notification.url",
            _("it must be an address without a path, such as https://ects.example or http://127.0.0.1:9701"),
        )
    for name, text in _texts(configuration):
        if not text.isprintable():
            yield name, _("it must be one line")


def _is_url(text: str) -> bool:
    try:
        parts = urlsplit(text)
        # The port is read when it is asked for, and may be none.
        has_place = parts.scheme in ("http", "https") and bool(parts.hostname) and parts.port != 0
    except ValueError:
        return False
    return has_place and not (parts.path.strip("/") or parts.query or parts.fragment or parts.username)


def _texts(configuration: Configuration) -> list[tuple[str, str]]:
    sections: dict[str, dict[str, Any] | None] = msgspec.to_builtins(configuration)
    return [
        (f"{section}.{name}", text)
        for section, fields in sections.items()
        for name, text in (fields or {}).items()
        if isinstance(text, str)
    ]
