"""What this installation is set to at present, in the form of a configuration file: what the wizard begins with."""

import os
from typing import Any

from ects_site import environment
from ects_site import settings as console

Content = dict[str, dict[str, Any]]


def content() -> Content:
    """The sections that are set; secrets are among them."""
    found: Content = {"auth": _auth(), "notification": _notification(), "console": _console()}
    if "ECTS_ETCD_ENDPOINTS" in os.environ:
        found["etcd"] = _etcd()
    if console.DATABASES["default"]["ENGINE"].endswith("mysql"):
        found["database"] = _database()
    return found


def _auth() -> dict[str, Any]:
    """Of the keys those that the settings file of an earlier version holds; others stay where they are."""
    held = environment.in_settings_file()
    return {
        "secret": held.get("ECTS_SECRET_KEY", ""),
        "encryption": held.get("ECTS_ENCRYPTION_KEY", ""),
        "ttl": int(console.TOKEN_SECONDS),
    }


def _etcd() -> dict[str, Any]:
    etcd = console.ECTS_ETCD
    return {
        "endpoints": list(etcd.endpoints),
        "config": f"{console.ECTS_ETCD_PREFIX}/config",
        "user": etcd.user,
        "pass": etcd.password,
        "ca": etcd.ca,
        "cert": etcd.certificate,
        "key": etcd.key,
        "worker_user": console.ECTS_ETCD_WORKER_USER,
        "worker_pass": console.ECTS_ETCD_WORKER_PASSWORD,
    }


def _database() -> dict[str, Any]:
    database: dict[str, Any] = console.DATABASES["default"]
    mode, files = database["OPTIONS"].get("ssl_mode", ""), database["OPTIONS"].get("ssl", {})
    return {
        "host": database["OPTIONS"].get("unix_socket") or database["HOST"] or "127.0.0.1",
        "port": int(database["PORT"] or 3306),
        "name": database["NAME"],
        "user": database["USER"],
        "pass": database["PASSWORD"],
        "tls": "verify" if "ca" in files or "VERIFY" in mode else "required" if files or mode == "REQUIRED" else "",
        **{name: files.get(name, "") for name in ("ca", "cert", "key")},
    }


def _notification() -> dict[str, Any]:
    mail = console.ECTS_EMAIL
    url = console.ECTS_SERVER_URL if os.environ.get("ECTS_SERVER_URL") else ""
    if not mail["host"]:
        return {"url": url}
    return {
        "url": url,
        "host": mail["host"],
        "port": mail["port"],
        "user": mail["user"],
        "pass": mail["password"],
        "name": mail["sender"],
        # "tls" would be taken for STARTTLS on some ports.
        "encryption": {"tls": "ssl"}.get(str(mail["tls"]), mail["tls"]),
    }


def _console() -> dict[str, Any]:
    return {
        "bind": environment.env.str("ECTS_BIND", default=""),
        "port": console.ECTS_PORT,
        "worker": environment.env.bool("ECTS_LOCAL_WORKER", default=True),
    }
