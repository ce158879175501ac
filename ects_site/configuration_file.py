"""The configuration file of ``init``, in the original system's form, and what it means as environment variables."""

import json
import re
from email.utils import formataddr
from pathlib import Path
from typing import Annotated, Any, Literal
from urllib.parse import quote, urlsplit

import msgspec
import yaml
from msgspec import Meta, Struct, field

from coordination.addresses import is_endpoint

Mode = Literal["json", "yaml"]

SHORTEST_SECRET = 32
"""Characters; a shorter signing secret could be guessed."""

STARTTLS_PORTS = (25, 587)
"""Where a mail server begins in the clear (RFC 6409, section 3.1)."""

CHOICES = {
    "database.char": "utf8mb4, which holds every text",
    "notification.protocol": "smtp",
    "notification.encryption": "none, ssl, tls or starttls",
}

Port = Annotated[int, Meta(ge=1, le=65535)]
Text = Annotated[str, Meta(min_length=1)]


class Invalid(Exception):
    """The file cannot be used; each sentence names the field, such as ``database.port``."""


class Database(Struct, forbid_unknown_fields=True):
    """MySQL or MariaDB. ``host`` may be the path of a socket."""

    name: Annotated[str, Meta(pattern=r"^[A-Za-z0-9_$-]{1,64}$")]
    user: Text
    host: Text = "127.0.0.1"
    port: Port = 3306
    password: str = field(default="", name="pass")
    charset: Literal["utf8mb4"] = field(default="utf8mb4", name="char")

    @property
    def is_socket(self) -> bool:
        """Whether ``host`` is a path."""
        return self.host.startswith("/")

    @property
    def address(self) -> str:
        """The host to connect to. The client library takes "localhost" for its socket, and then ignores the port."""
        return "127.0.0.1" if self.host == "localhost" else self.host

    def url(self) -> str:
        """As ``ECTS_DATABASE_URL`` has it."""
        account = f"{quote(self.user, safe='')}:{quote(self.password, safe='')}"
        if self.is_socket:
            return f"mysql://{account}@/{self.name}?unix_socket={quote(self.host, safe='/')}"
        host = f"[{self.address}]" if ":" in self.address else self.address
        return f"mysql://{account}@{host}:{self.port}/{self.name}"


class Auth(Struct, forbid_unknown_fields=True):
    """``ttl``: seconds for which an API token is good, 0 for ever."""

    secret: str = ""
    ttl: Annotated[int, Meta(ge=0)] = 0


class Etcd(Struct, forbid_unknown_fields=True):
    """``config`` gives the prefix of all keys; the other keys have to be below the same."""

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


class Configuration(Struct, forbid_unknown_fields=True):
    """The whole file. Without ``database``: SQLite. Without ``etcd``: the private one of ``single``."""

    database: Database | None = None
    auth: Auth = field(default_factory=Auth)
    etcd: Etcd | None = None
    notification: Notification = field(default_factory=Notification)


def read(path: Path, mode: Mode) -> Configuration:
    """Reads and checks the file. Raises Invalid."""
    try:
        text = path.read_text()
        content = json.loads(text) if mode == "json" else yaml.safe_load(text)
    except OSError as error:
        raise Invalid(f"{path} cannot be read: {error.strerror}") from None
    except (ValueError, yaml.YAMLError) as error:
        raise Invalid(f"{path} is not {mode.upper()}: {error}") from None
    configuration = _converted({} if content is None else content)
    _check(configuration)
    return configuration


def environment(configuration: Configuration) -> dict[str, str]:
    """The settings that the file stands for; what it leaves out is not among them."""
    wanted = {"ECTS_TOKEN_SECONDS": str(configuration.auth.ttl) if configuration.auth.ttl else ""}
    if configuration.database is not None:
        wanted["ECTS_DATABASE_URL"] = configuration.database.url()
    if len(configuration.auth.secret) >= SHORTEST_SECRET:
        wanted["ECTS_SECRET_KEY"] = configuration.auth.secret
    if configuration.etcd is not None:
        wanted |= _of_etcd(configuration.etcd)
    wanted |= _of_mail(configuration.notification)
    return {name: value for name, value in wanted.items() if value}


def _of_etcd(etcd: Etcd) -> dict[str, str]:
    return {
        "ECTS_ETCD_ENDPOINTS": ",".join(etcd.endpoints),
        "ECTS_ETCD_PREFIX": etcd.prefix,
        "ECTS_ETCD_USER": etcd.user,
        "ECTS_ETCD_PASSWORD": etcd.password,
        "ECTS_ETCD_CA": etcd.ca,
        "ECTS_ETCD_CERT": etcd.certificate,
        "ECTS_ETCD_KEY": etcd.key,
    }


def _of_mail(mail: Notification) -> dict[str, str]:
    wanted = {"ECTS_SERVER_URL": mail.url.rstrip("/")}
    if mail.host:
        tls = mail.encryption.replace("ssl", "tls")
        wanted |= {
            "ECTS_EMAIL_HOST": mail.host,
            "ECTS_EMAIL_PORT": str(mail.port),
            "ECTS_EMAIL_USER": mail.user,
            "ECTS_EMAIL_PASSWORD": mail.password,
            # "tls" means STARTTLS to many programs: where the server begins in the clear it can be nothing else.
            "ECTS_EMAIL_TLS": "starttls" if mail.encryption == "tls" and mail.port in STARTTLS_PORTS else tls,
            "ECTS_EMAIL_FROM": _sender(mail),
        }
    return wanted


def _sender(mail: Notification) -> str:
    if "@" in mail.name or not mail.name:
        return mail.name
    return formataddr((mail.name, mail.user)) if "@" in mail.user else ""


def _converted(content: Any) -> Configuration:
    try:
        return msgspec.convert(content, Configuration, strict=False)
    except msgspec.ValidationError as error:
        raise Invalid(_readable(str(error))) from None


def _readable(message: str) -> str:
    """msgspec's ``Expected `int`, got `str` - at `$.database.port``` with the field's name in front."""
    said, _, where = message.partition(" - at `")
    name = where.rstrip("`").removeprefix("$").removeprefix(".")
    if named := re.search(r"(missing required|contains unknown) field `(\w+)`", said):
        full = ".".join(filter(None, (name, named[2])))
        return f"{full}: it is missing" if named[1].startswith("missing") else f"{full}: there is no such field"
    if name in CHOICES:
        return f"{name}: it must be {CHOICES[name]}"
    return f"{name or 'the file'}: {said[:1].lower()}{said[1:]}"


def _check(configuration: Configuration) -> None:
    """What types do not say. Raises Invalid with all that is wrong."""
    wrong = []
    if (etcd := configuration.etcd) is not None:
        wrong += [f"etcd.endpoints: {each!r} is not HOST:PORT" for each in etcd.endpoints if not is_endpoint(each)]
        wrong += [
            f"etcd.{name}: ECTS keeps it at {etcd.prefix}{place}, below the prefix of etcd.config"
            for name, place in (("service", "/nodes"), ("pipeline", "/pipelines"))
            if getattr(etcd, name) not in (None, "", etcd.prefix + place)
        ]
    url = configuration.notification.url
    if url and (urlsplit(url).scheme not in ("http", "https") or not urlsplit(url).hostname):
        wrong.append("notification.url: the console's address is needed, such as https://ects.example:9701")
    wrong += [f"{name}: it must be one line" for name, text in _texts(configuration) if not text.isprintable()]
    if wrong:
        raise Invalid("\n".join(wrong))


def _texts(configuration: Configuration) -> list[tuple[str, str]]:
    sections: dict[str, dict[str, Any] | None] = msgspec.to_builtins(configuration)
    return [
        (f"{section}.{name}", text)
        for section, fields in sections.items()
        for name, text in (fields or {}).items()
        if isinstance(text, str)
    ]
