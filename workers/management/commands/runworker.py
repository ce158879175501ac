"""``manage.py runworker``: joins the cluster if need be, then hands over to the engine, which knows no Django."""

import os
import socket
import sys
from pathlib import Path
from typing import Any

import httpx
from django.conf import settings
from django.core.management.base import BaseCommand, CommandError, CommandParser

from workers.engine import identity, joining
from workers.engine.identity import IdentityError, StateLock


class Command(BaseCommand):
    """Makes this host a worker."""

    help = (
        "Make this host a worker. The first time, give --server and an enrolment token (made in the console under "
        "Nodes); afterwards --state-dir alone is enough. The token is better given by the environment variable "
        "ECTS_ENROLMENT_TOKEN or by --token-file than on the command line, where every user of the host can see it."
    )
    requires_system_checks: list[str] = []

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("--server", help="the console, such as https://ects.example:9701")
        parser.add_argument("--token", help="enrolment token")
        parser.add_argument("--token-file", type=Path, help="file that holds the enrolment token")
        parser.add_argument("--name", default=socket.gethostname(), help="name of the node (the host's name)")
        parser.add_argument("--state-dir", type=Path, default=settings.DATA_DIR / "worker", help="identity and journal")
        parser.add_argument("--rejoin", action="store_true", help="enrol again although this host has an identity")
        parser.add_argument("--insecure", action="store_true", help="allow plain HTTP to another host")
        parser.add_argument("--capacity", default="256", help="runs at once; the excess waits (256)")
        parser.add_argument("--grace", default="10", help="seconds that runs get when the worker stops (10)")
        parser.add_argument("--label", action="append", default=[], help="NAME=VALUE; may be given repeatedly")

    def handle(self, *args: Any, **options: Any) -> None:
        state_dir = options["state_dir"].resolve()
        try:
            self._join(state_dir, options)
        except IdentityError as error:
            raise CommandError(str(error)) from None
        command = [sys.executable, "-m", "workers.engine", "--state-dir", str(state_dir)]
        command += ["--capacity", options["capacity"], "--grace", options["grace"], "--version", settings.VERSION]
        command += [word for label in options["label"] for word in ("--label", label)]
        environment = {name: value for name, value in os.environ.items() if name in KEPT}
        # Of the C library: an arena for each of gRPC's threads would keep memory that one has freed from the others.
        environment.setdefault("MALLOC_ARENA_MAX", "2")
        os.chdir(settings.BASE_DIR)
        os.execve(sys.executable, command, environment)  # noqa: S606 - that is the hand-over

    def _join(self, state_dir: Path, options: dict[str, Any]) -> None:
        token = options["token"] or os.environ.get("ECTS_ENROLMENT_TOKEN", "")
        if options["token_file"]:
            token = options["token_file"].read_text().strip()
        machine = identity.machine_id()
        with StateLock(state_dir):
            known = identity.load(state_dir, machine)
            if known is not None and not options["rejoin"]:
                return
            if not token or not options["server"]:
                raise IdentityError(f"{state_dir} holds no identity yet: give --server and an enrolment token")
            about = {
                "name": options["name"],
                "machine_id": machine,
                "host": socket.gethostname(),
                "version": settings.VERSION,
            }
            with httpx.Client() as client:
                joined = joining.enrol(client, state_dir, options["server"], token, about, insecure=options["insecure"])
        self.stdout.write(f"joined as {joined.name} ({joined.node})")


KEPT = (
    *("PATH", "HOME", "LANG", "LC_ALL", "TZ", "USER", "LOGNAME", "PYTHONPATH"),
    *("ECTS_LOG_LEVEL", "ECTS_LOG_FORMAT", "SSL_CERT_FILE", "SSL_CERT_DIR", "MALLOC_ARENA_MAX"),
    *("HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY", "NO_PROXY", "http_proxy", "https_proxy", "all_proxy", "no_proxy"),
)
"""What the engine gets of this environment; no setting and no secret of the console is among it."""
