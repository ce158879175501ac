"""The options of ``runworker``."""

import argparse
from collections.abc import Callable
from pathlib import Path
from uuid import UUID

from coordination import addresses, listener

HELP = (
    "Make this host a worker. The first time, give --server and an enrolment token (made in the console under "
    "Nodes); afterwards --state-dir alone is enough. The token is better given by the environment variable "
    "ECTS_ENROLMENT_TOKEN or by --token-file than on the command line, where every user of the host can see it."
)


def add(parser: argparse.ArgumentParser, state_dir: Path, metrics: str) -> None:
    """``state_dir`` is where the identity and the journal are unless told otherwise, ``metrics`` where it listens."""
    _add_joining(parser)
    parser.add_argument(
        "--state-dir", type=Path, default=state_dir, help="identity and journal (worker in ECTS_DATA_DIR)"
    )
    etcd, prefix = addresses.option(addresses.endpoints), addresses.option(addresses.prefix_of)
    parser.add_argument("--etcd", type=etcd, help="HOST:PORT,… in place of what the console says")
    parser.add_argument("--config", type=prefix, help="key of the shared settings; the console says it")
    parser.add_argument("--capacity", type=_number(int), default="256", help="runs at once; the excess waits (256)")
    parser.add_argument("--grace", type=_number(float), default="10", help="seconds for runs when it stops (10)")
    listening = "HOST:PORT where it answers /healthz, /readyz and /metrics (ECTS_WORKER_METRICS; nowhere)"
    parser.add_argument("--metrics", type=listener.option, default=metrics, help=listening)
    parser.add_argument(
        "--label", type=_label, action="append", default=[], help="NAME=VALUE, for joining; may be repeated"
    )


def _add_joining(parser: argparse.ArgumentParser) -> None:
    joining = parser.add_argument_group("joining")
    joining.add_argument("--server", default="", help="the console, such as https://ects.example:9701")
    joining.add_argument("--token", default="", help="enrolment token")
    joining.add_argument("--token-file", type=Path, help="file that holds the enrolment token")
    joining.add_argument("--node", type=_node, default="", help="id of the node that this host is to be")
    joining.add_argument("--name", default="", help="name of the node (the host's name)")
    joining.add_argument("--desc", dest="description", default="", help="description of the node")
    joining.add_argument("--rejoin", action="store_true", help="enrol again, also on another machine; see the docs")
    joining.add_argument("--insecure", action="store_true", help="allow plain HTTP to another host")
    joining.add_argument("--enrol-only", action="store_true", help="join, and start nothing")


def _node(text: str) -> str:
    try:
        return str(UUID(text)) if text else ""
    except ValueError:
        raise argparse.ArgumentTypeError(f"{text!r} is no node id: copy it from the node's page") from None


def _label(text: str) -> str:
    if not text.partition("=")[0] or "=" not in text:
        raise argparse.ArgumentTypeError(f"{text!r} is not NAME=VALUE")
    return text


def _number(kind: type[int] | type[float]) -> Callable[[str], str]:
    def check(text: str) -> str:
        if not kind(text) >= 0:
            raise ValueError
        return text

    check.__name__ = "number"
    return check
