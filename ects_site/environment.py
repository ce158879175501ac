"""Reads the installation's environment: where its data lives, its secrets, its database and its etcd."""

import math
import os
import secrets
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import environ
from django.core.exceptions import ImproperlyConfigured

from coordination import logformat, secret_variables
from ects_site.locations import data_dir

env = environ.Env()


def settings_file() -> Path:
    """``settings.env`` of the data directory, which ``init`` writes, unless ``ECTS_SETTINGS_FILE`` names another."""
    return Path(os.environ.get("ECTS_SETTINGS_FILE") or data_dir() / "settings.env")


def load_settings_file() -> frozenset[str]:
    """Takes over the settings file; the real environment wins. The names of what was taken over."""
    before = set(os.environ)
    if settings_file().exists():
        environ.Env.read_env(str(settings_file()), overwrite=False)
    return frozenset(set(os.environ) - before)


def in_settings_file() -> dict[str, str]:
    """What the settings file says, whatever the environment says; nothing when there is none."""
    if not settings_file().exists():
        return {}

    class Reader(environ.Env):  # type: ignore[misc]
        ENVIRON: dict[str, str] = {}

    Reader.read_env(str(settings_file()))
    return Reader.ENVIRON


def write_settings_file(values: Mapping[str, str]) -> None:
    """Durable, and with mode 0600 from the first byte on. The values are single lines."""
    lines = ["# Written by manage.py init. The environment wins over this file."]
    for name, value in values.items():
        quoted = value.replace("\\", "\\\\").replace('"', '\\"')
        lines.append(f'{name}="{quoted}"')
    replace_file(settings_file(), "".join(f"{line}\n" for line in lines))


def replace_file(path: Path, content: str) -> None:
    """All of it or nothing, durable, readable by this user only."""
    path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    draft = path.with_name(f".{path.name}.{secrets.token_hex(8)}")
    try:
        with os.fdopen(os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        draft.rename(path)
    finally:
        draft.unlink(missing_ok=True)
    directory = os.open(path.parent, os.O_RDONLY)
    try:
        os.fsync(directory)
    finally:
        os.close(directory)


def secret(name: str) -> str:
    """A secret: what ``secret_from("ECTS_<NAME>")`` finds, else what ``secrets/<name>`` in the data directory holds.

    That file is made when it is missing, with mode 0600: 32 random bytes in hexadecimal. Raises ImproperlyConfigured
    when it can neither be read nor be made.
    """
    if value := secret_from(f"ECTS_{name.upper()}"):
        return value
    path = secret_path(name)
    try:
        if not path.exists():
            _create_secret(path)
        return path.read_text().strip()
    except OSError as error:
        raise ImproperlyConfigured(
            f"{error.filename or path} cannot be used ({error.strerror}): ECTS_DATA_DIR, which is {data_dir()}, has to "
            "be a directory that this user may write"
        ) from None


def secret_from(name: str) -> str:
    """The value of the variable, or of the file that ``<variable>_FILE`` names; empty when neither is set.

    Raises ImproperlyConfigured when that file cannot be read or is empty.
    """
    # Not by env.str, for which a value that begins with $ is another variable's name.
    try:
        return secret_variables.read(name, os.environ)
    except ValueError as error:
        raise ImproperlyConfigured(str(error)) from None


def encryption_keys() -> list[bytes]:
    """The keys, 32 bytes each, under which secrets are encrypted in the database: the first encrypts, all decrypt.
    Raises ImproperlyConfigured."""
    try:
        keys = [bytes.fromhex(line) for line in secret("ENCRYPTION_KEY").split()]
    except ValueError:
        keys = []
    if {len(key) for key in keys} != {32}:
        raise ImproperlyConfigured("ECTS_ENCRYPTION_KEY must be 32 bytes in hexadecimal: openssl rand -hex 32")
    return keys


def add_secret(name: str) -> None:
    """A new value before what ``secret`` finds, one a line. Raises ImproperlyConfigured when that is not ours to
    change: it stands in the environment, or in a file that the environment names."""
    _replace_secret(name, f"{secrets.token_hex(32)}\n{secret(name)}\n")


def retire_secrets(name: str) -> None:
    """Nothing but the first line of what ``secret`` finds. Raises ImproperlyConfigured likewise."""
    lines = secret(name).splitlines()
    if len(lines) > 1:
        _replace_secret(name, f"{lines[0]}\n")


def keep_secret(name: str, value: str) -> None:
    """Puts a secret of one line or several where ``secret`` finds it; the one that was there is kept beside it."""
    path = secret_path(name)
    held = path.read_text().split() if path.exists() else []
    if held == value.split():
        return
    # One after the other: made as a parent, the data directory would be open to all users of the host.
    data_dir().mkdir(parents=True, exist_ok=True, mode=0o700)
    path.parent.mkdir(exist_ok=True, mode=0o700)
    if held:
        os.link(path, path.with_name(f"{path.name}.before-{secrets.token_hex(4)}"))
    replace_file(path, f"{value}\n")


def _replace_secret(name: str, content: str) -> None:
    variable = f"ECTS_{name.upper()}"
    if secret_from(variable):
        raise ImproperlyConfigured(
            f"{variable} comes from outside: change it there. One value a line: the first is used, the others are "
            "still good. A new one: openssl rand -hex 32"
        )
    replace_file(secret_path(name), content)


def secret_path(name: str) -> Path:
    """Where a secret is kept that the environment does not give."""
    return data_dir() / "secrets" / name.lower()


def _create_secret(path: Path) -> None:
    """Written under another name and linked, so that of two processes starting at once both read the same value."""
    # One after the other: made as a parent, the data directory would be open to all users of the host.
    for directory in (data_dir(), path.parent):
        directory.mkdir(parents=True, exist_ok=True, mode=0o700)
    draft = path.with_name(f".{path.name}.{secrets.token_hex(8)}")
    descriptor = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(descriptor, "w") as file:
        file.write(secrets.token_hex(32))
        file.flush()
        os.fsync(file.fileno())
    try:
        os.link(draft, path)
    except FileExistsError:
        return
    finally:
        draft.unlink()


def etcd_endpoints() -> list[str]:
    """``ECTS_ETCD_ENDPOINTS`` (``host:port``, comma-separated), else the private etcd of ``single``, else 2379."""
    if endpoints := env.list("ECTS_ETCD_ENDPOINTS", default=[]):
        return [str(endpoint).strip() for endpoint in endpoints]
    private = data_dir() / "etcd" / "endpoint"
    return [private.read_text().strip()] if private.exists() else ["127.0.0.1:2379"]


def web_address() -> str:
    """``ECTS_BIND`` and ``ECTS_PORT`` as gunicorn wants them."""
    host = env.str("ECTS_BIND", default="0.0.0.0")  # noqa: S104 - a console is there to be reached
    return f"[{host}]:{port()}" if ":" in host else f"{host}:{port()}"


def port(name: str = "ECTS_PORT", default: int = 9701) -> int:
    """A setting that is a port: that of the console unless another is named. Raises ImproperlyConfigured."""
    given = env.str(name, default=str(default)).strip()
    if not (given.isascii() and given.isdecimal() and 0 < int(given) < 65536):
        raise ImproperlyConfigured(f"{name} must be a number from 1 to 65535, not {given!r}")
    return int(given)


ENGINES = ("django.db.backends.sqlite3", "django.db.backends.mysql")


def database() -> dict[str, Any]:
    """What ``ECTS_DATABASE_URL`` says, as Django has it. Raises ImproperlyConfigured, which does not quote it: it may
    hold a password."""
    found: dict[str, Any] = env.db_url_config(
        secret_from("ECTS_DATABASE_URL") or f"sqlite:///{data_dir() / 'ects.sqlite3'}"
    )
    if found.get("ENGINE") not in ENGINES:
        raise ImproperlyConfigured("ECTS_DATABASE_URL must be such as mysql://USER:PASSWORD@HOST:3306/NAME")
    return found


_TLS = {
    **dict.fromkeys(("", "0", "false", "no", "off", "none"), "none"),
    **dict.fromkeys(("1", "true", "yes", "on", "starttls"), "starttls"),
    **dict.fromkeys(("tls", "ssl", "smtps"), "tls"),
}


def log_format() -> str:
    """``ECTS_LOG_FORMAT``: ``line`` for people, ``json`` for machines. Raises ImproperlyConfigured."""
    form = env.str("ECTS_LOG_FORMAT", default="line")
    try:
        logformat.formatter(form)
    except ValueError as error:
        raise ImproperlyConfigured(str(error)) from None
    return form


LANGUAGE_CODES = ("en", "zh-hans")


def language() -> str:
    """``ECTS_LANGUAGE``: that of the console for who has chosen none. Raises ImproperlyConfigured."""
    given = env.str("ECTS_LANGUAGE", default="en").lower()
    if given not in LANGUAGE_CODES:
        raise ImproperlyConfigured(f"ECTS_LANGUAGE must be one of {', '.join(LANGUAGE_CODES)}, not {given!r}")
    return given


def log_level() -> str:
    """``ECTS_LOG_LEVEL``. Raises ImproperlyConfigured."""
    try:
        return logformat.level(env.str("ECTS_LOG_LEVEL", default="INFO"))
    except ValueError as error:
        raise ImproperlyConfigured(str(error)) from None


SSL_MODES = ("DISABLED", "REQUIRED", "VERIFY_CA", "VERIFY_IDENTITY")
"""Of the client library (MySQL, "Command Options for Encrypted Connections"). PREFERRED is not among them: MariaDB's
library takes it and encrypts nothing."""


def mysql_options(given: Mapping[str, str]) -> dict[str, object]:
    """What an URL says after its question mark as the driver wants it: files for TLS (``ssl_ca``, ``ssl_cert``,
    ``ssl_key``) belong into one option. Raises ImproperlyConfigured."""
    files = {name.removeprefix("ssl_"): given[name] for name in ("ssl_ca", "ssl_cert", "ssl_key") if name in given}
    others = {name: value for name, value in given.items() if name.removeprefix("ssl_") not in files}
    if empty := [name for name in files if not files[name]]:
        raise ImproperlyConfigured(f"ssl_{empty[0]} of the database is empty: name a file, or leave it out")
    # Whoever names an authority wants it asked; without a mode a server that has no TLS would do.
    mode = {"ssl_mode": "VERIFY_IDENTITY" if "ca" in files else "REQUIRED"} if files else {}
    if "ssl_mode" in others:
        others["ssl_mode"] = others["ssl_mode"].upper()
        if others["ssl_mode"] not in SSL_MODES:
            raise ImproperlyConfigured(f"ssl_mode must be one of {', '.join(SSL_MODES)}, not {given['ssl_mode']!r}")
        if files and others["ssl_mode"] == "DISABLED":
            raise ImproperlyConfigured("ssl_mode of the database is DISABLED, and yet files for TLS are named")
    return mode | others | ({"ssl": files} if files else {})


def limit(name: str, default: float) -> float:
    """A setting that bounds something; 0 for no bound. Raises ImproperlyConfigured below that."""
    try:
        value: float = env.float(name, default=default)
    except ValueError:
        raise ImproperlyConfigured(f"{name} must be a number, not {env.str(name)!r}") from None
    if not 0 <= value < math.inf:
        raise ImproperlyConfigured(f"{name} must be 0, for no limit, or more, not {value:g}")
    return value


def email_tls() -> str:
    """``ECTS_EMAIL_TLS``: ``none``, ``starttls`` or ``tls``; yes and no stand for starttls and none."""
    given = env.str("ECTS_EMAIL_TLS", default="")
    try:
        return _TLS[given.strip().lower()]
    except KeyError:
        raise ImproperlyConfigured(f"ECTS_EMAIL_TLS must be none, starttls or tls, not {given!r}") from None
