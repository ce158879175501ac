"""``manage.py runworker``: joins the cluster if need be, then hands over to the engine, which knows no Django."""

import dataclasses
import logging
import os
import socket
from pathlib import Path
from typing import Any

from django.conf import settings
from django.core.management.base import BaseCommand, CommandError, CommandParser

from coordination import logformat
from workers.engine import identity
from workers.engine.identity import IdentityError
from workers.host import admission, handover, options

log = logging.getLogger("workers.host")


class Command(BaseCommand):
    """Makes this host a worker."""

    help = options.HELP
    requires_system_checks: list[str] = []

    def add_arguments(self, parser: CommandParser) -> None:
        options.add(parser, settings.DATA_DIR / "worker", os.environ.get("ECTS_WORKER_METRICS", ""))

    def handle(self, *args: Any, **given: Any) -> None:
        state_dir: Path = given["state_dir"].resolve()
        wish = admission.Wish(**{each.name: given[each.name] for each in dataclasses.fields(admission.Wish)})
        host = admission.Host(socket.gethostname(), identity.machine_id(), settings.VERSION)
        logformat.identify(process="worker")
        try:
            logformat.configure(os.environ)
        except ValueError as error:
            raise CommandError(str(error), returncode=2) from None
        try:
            admitted = admission.admit(state_dir, wish, host, os.environ)
        except IdentityError as error:
            raise CommandError(str(error), returncode=error.status) from None
        for remark in admitted.remarks:
            log.info("%s", remark)
        if given["enrol_only"]:
            return
        command = handover.command(
            state_dir,
            version=settings.VERSION,
            capacity=given["capacity"],
            grace=given["grace"],
            labels=given["label"],
            etcd=given["etcd"] or (),
            metrics=given["metrics"],
        )
        handover.become(command, handover.environment(os.environ), settings.BASE_DIR)
