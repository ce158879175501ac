"""The last thing that ``runworker`` does: its process becomes the engine's, which knows no Django and no setting."""

import os
import sys
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

from coordination.listener import Address

KEPT = (
    *("PATH", "HOME", "LANG", "LC_ALL", "TZ", "USER", "LOGNAME", "PYTHONPATH"),
    *("ECTS_LOG_LEVEL", "ECTS_LOG_FORMAT", "ECTS_METRICS_TOKEN", "ECTS_METRICS_TOKEN_FILE"),
    *("SSL_CERT_FILE", "SSL_CERT_DIR", "MALLOC_ARENA_MAX", "NOTIFY_SOCKET"),
    *("HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY", "NO_PROXY", "http_proxy", "https_proxy", "all_proxy", "no_proxy"),
)
"""What the engine gets of this environment: no setting of the console, no secret but the one that opens its metrics."""


def command(
    state_dir: Path,
    *,
    version: str,
    capacity: str,
    grace: str,
    labels: Iterable[str],
    etcd: Sequence[str],
    metrics: Address | None,
) -> list[str]:
    """The engine's command line. ``labels`` are ``NAME=VALUE``; ``etcd``: endpoints in place of the console's;
    ``metrics``: where it listens for health and metrics."""
    words = [sys.executable, "-m", "workers.engine", "--state-dir", str(state_dir), "--version", version]
    words += ["--capacity", capacity, "--grace", grace]
    words += [word for label in labels for word in ("--label", label)]
    words += ["--metrics", str(metrics)] if metrics else []
    return [*words, "--etcd", ",".join(etcd)] if etcd else words


def environment(environ: Mapping[str, str]) -> dict[str, str]:
    """The engine's environment."""
    kept = {name: environ[name] for name in KEPT if name in environ}
    # Of the C library: an arena for each of gRPC's threads would keep memory that one has freed from the others.
    return {"MALLOC_ARENA_MAX": "2", **kept}


def become(words: list[str], variables: Mapping[str, str], directory: Path) -> None:
    """Never returns. ``directory`` is the checkout, from which the engine is imported."""
    os.chdir(directory)
    os.execve(words[0], words, dict(variables))  # noqa: S606 - that is the hand-over
