"""``python -m workers.engine``: a worker in a process without Django. ``manage.py runworker`` ends in this."""

import argparse
import asyncio
import gc
import logging
import os
import sys
from contextlib import aclosing
from pathlib import Path

from msgspec import structs

from coordination import listener, logformat, secret_variables
from coordination.etcd import AsyncEtcd
from coordination.fires import SESSION_TTL
from workers.engine import ondemand
from workers.engine.clock import SystemClock
from workers.engine.courier import Courier, Direct, is_proxied
from workers.engine.identity import Identity, IdentityError, StateLock, load, machine_id
from workers.engine.options import Options
from workers.engine.runners import cgroups
from workers.engine.service import Service

log = logging.getLogger("workers.engine")

GARBAGE = 20_000
"""Objects, made and not freed, after which Python looks for garbage among them."""


def main() -> int:
    """Exit status 0 after an orderly stop, 2 when this state directory or a setting cannot be used."""
    arguments = _parse()
    logformat.identify(process="worker")
    # A run makes some hundred objects and frees them by itself: looking for garbage at each 700 is a tenth of its cost.
    gc.set_threshold(GARBAGE)
    try:
        logformat.configure(os.environ)
        metrics_token = secret_variables.read("ECTS_METRICS_TOKEN", os.environ)
    except ValueError as error:
        print(error, file=sys.stderr)
        return 2
    options = Options(
        state_dir=arguments.state_dir,
        version=arguments.version,
        capacity=arguments.capacity,
        grace=arguments.grace,
        session_ttl=arguments.session_ttl,
        labels=dict(label.partition("=")[::2] for label in arguments.label),
        groups=cgroups.delegated(),
        metrics=arguments.metrics,
        metrics_token=metrics_token,
    )
    controllers = ", ".join(sorted(options.groups.controllers)) if options.groups else ""
    log.info(
        "limits of steps are kept by %s", f"control groups ({controllers}) and rlimits" if controllers else "rlimits"
    )
    try:
        with StateLock(options.state_dir):
            identity = load(options.state_dir, machine_id())
            if identity is None:
                raise IdentityError(f"{options.state_dir} holds no identity: start with --server and --token first")
            if arguments.etcd:
                store = structs.replace(identity.store, endpoints=tuple(arguments.etcd.split(",")))
                identity = structs.replace(identity, store=store)
            logformat.identify(node=identity.name, node_id=identity.node)
            asyncio.run(_serve(identity, options))
    except IdentityError as error:
        print(error, file=sys.stderr)
        return error.status
    return 0


async def _serve(identity: Identity, options: Options) -> None:
    environ, clock = dict(os.environ), SystemClock()
    courier: Courier = (
        ondemand.load("workers.engine.proxied").Proxied() if is_proxied(environ) else Direct(environ, clock)
    )
    async with aclosing(courier):
        gateway = AsyncEtcd(identity.etcd)
        await Service(identity, options, gateway=gateway, courier=courier, clock=clock, environ=environ).run()


def _parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m workers.engine", description=__doc__)
    parser.add_argument("--state-dir", type=Path, required=True, help="where this worker keeps identity and journal")
    parser.add_argument("--capacity", type=int, default=256, help="runs at once; the excess waits (256)")
    parser.add_argument("--grace", type=float, default=10.0, help="seconds that runs get when the worker stops (10)")
    # For tests with little time: below some 12 s too little of each renewal is left for a claim.
    parser.add_argument("--session-ttl", type=float, default=SESSION_TTL, help=argparse.SUPPRESS)
    parser.add_argument("--label", action="append", default=[], metavar="NAME=VALUE", help="may be given repeatedly")
    parser.add_argument("--etcd", default="", help="HOST:PORT,… in place of those that the console gave")
    parser.add_argument(
        "--metrics", type=listener.option, metavar="HOST:PORT", help="listen here for health and metrics"
    )
    parser.add_argument("--version", default="", help="what the node reports as its version")
    return parser.parse_args()


if __name__ == "__main__":
    sys.exit(main())
