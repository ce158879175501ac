"""Reads the installation's environment: where its data lives, its secrets, its database and its etcd."""

import os
import secrets
from pathlib import Path

import environ
from django.core.exceptions import ImproperlyConfigured

BASE_DIR = Path(__file__).resolve().parent.parent

env = environ.Env()


def data_dir() -> Path:
    """``ECTS_DATA_DIR``, by default ``var`` in the checkout: database, etcd data, worker state and secrets."""
    return Path(env.str("ECTS_DATA_DIR", default=str(BASE_DIR / "var"))).resolve()


def load_settings_file() -> None:
    """Takes over ``settings.env`` of the data directory (written by ``init``); the real environment wins."""
    path = data_dir() / "settings.env"
    if path.exists():
        environ.Env.read_env(str(path), overwrite=False)


def secret(name: str) -> str:
    """A secret of 32 random bytes in hexadecimal.

    Taken from the variable ``ECTS_<NAME>``, from the file that ``ECTS_<NAME>_FILE`` names, or from
    ``secrets/<name>`` in the data directory, which is made with mode 0600 when it is missing.
    """
    variable = f"ECTS_{name.upper()}"
    if value := env.str(variable, default=""):
        return value
    named = env.str(f"{variable}_FILE", default="")
    path = Path(named) if named else data_dir() / "secrets" / name.lower()
    if not named and not path.exists():
        _create_secret(path)
    return path.read_text().strip()


def secret_from(name: str) -> str:
    """The value of the variable, or of the file that ``<variable>_FILE`` names; empty when neither is set."""
    path = env.str(f"{name}_FILE", default="")
    return Path(path).read_text().strip() if path else env.str(name, default="")


def _create_secret(path: Path) -> None:
    """Written under another name and linked, so that of two processes starting at once both read the same value."""
    path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
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


_TLS = {
    **dict.fromkeys(("", "0", "false", "no", "off", "none"), "none"),
    **dict.fromkeys(("1", "true", "yes", "on", "starttls"), "starttls"),
    **dict.fromkeys(("tls", "ssl", "smtps"), "tls"),
}


def email_tls() -> str:
    """``ECTS_EMAIL_TLS``: ``none``, ``starttls`` or ``tls``; yes and no stand for starttls and none."""
    given = env.str("ECTS_EMAIL_TLS", default="")
    try:
        return _TLS[given.strip().lower()]
    except KeyError:
        raise ImproperlyConfigured(f"ECTS_EMAIL_TLS must be none, starttls or tls, not {given!r}") from None
