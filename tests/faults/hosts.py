"""Hosts, each with a network and a name of its own, on one switch that can cut any of them off, also one way only."""

import subprocess
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

SUBNET = "10.77.0"
HERE = f"{SUBNET}.1"
"""Where the tests themselves are."""

BRIDGE = "switch"

Way = Literal["both", "in", "out"]
"""Of the packets that are lost: those to the host, those from it, or all."""

# Dropped on the switch, not on the host: there the sender would be told.
_RULES = f"""
table bridge {BRIDGE} {{
    set dumb {{ type ifname; }}
    set deaf {{ type ifname; }}
    chain forward {{ type filter hook forward priority 0; iifname @dumb drop; oifname @deaf drop; }}
    chain input {{ type filter hook input priority 0; iifname @dumb drop; }}
    chain output {{ type filter hook output priority 0; oifname @deaf drop; }}
}}
"""

_SETS: dict[Way, tuple[str, ...]] = {"both": ("dumb", "deaf"), "in": ("deaf",), "out": ("dumb",)}

_HOLDER = 'hostname "$0"; ip link set lo up; echo; exec sleep infinity'


@dataclass(slots=True)
class Host:
    """``prefix`` goes before a command that is to run there. ``port``: its device on the switch."""

    name: str
    address: str
    port: str
    prefix: tuple[str, ...] = ()


class Network:
    """The switch and all that is plugged into it. Lives in a world of its own (``inside``), and ends with it."""

    def __init__(self) -> None:
        self._number = 1
        self._cuts: dict[str, tuple[str, ...]] = {}
        self._holders: list[subprocess.Popen[bytes]] = []
        self._ports: list[str] = []
        _run("ip", "link", "set", "lo", "up")
        _run("ip", "link", "add", BRIDGE, "type", "bridge")
        _run("ip", "address", "add", f"{HERE}/24", "dev", BRIDGE)
        _run("ip", "link", "set", BRIDGE, "up")
        _run("nft", "-f", "-", text=_RULES)

    def host(self, name: str) -> Host:
        """Makes one: processes share nothing of their network with others."""
        holder = subprocess.Popen(
            ["unshare", "--net", "--uts", "sh", "-c", _HOLDER, name], stdout=subprocess.PIPE, start_new_session=True
        )
        self._holders.append(holder)
        assert holder.stdout is not None
        holder.stdout.readline()
        host = self._next(name)
        host.prefix = ("nsenter", f"--net=/proc/{holder.pid}/ns/net", f"--uts=/proc/{holder.pid}/ns/uts")
        _run("ip", "link", "add", host.port, "type", "veth", "peer", "name", "eth0", "netns", str(holder.pid))
        _run("ip", "link", "set", host.port, "master", BRIDGE, "up")
        _run(*host.prefix, "ip", "address", "add", f"{host.address}/24", "dev", "eth0")
        _run(*host.prefix, "ip", "link", "set", "eth0", "up")
        return host

    def socket(self, name: str) -> Host:
        """A place on the switch for a machine that brings its own kernel: a tap device."""
        host = self._next(name)
        _run("ip", "tuntap", "add", "dev", host.port, "mode", "tap")
        _run("ip", "link", "set", host.port, "master", BRIDGE, "up")
        return host

    def cut(self, host: Host, way: Way = "both") -> None:
        """From now on its packets are lost, and nobody is told."""
        for name in _SETS[way]:
            _element("add", name, host)
        self._cuts[host.port] = _SETS[way]

    def restore(self, host: Host) -> None:
        """All is well again."""
        for name in self._cuts.pop(host.port, ()):
            _element("delete", name, host)

    def close(self) -> None:
        """Ends all hosts; what runs there loses its network. Another switch may be made then."""
        for port in self._ports:
            _run("ip", "link", "delete", port)
        for holder in self._holders:
            holder.kill()
            holder.wait()
        _run("ip", "link", "delete", BRIDGE)
        _run("nft", "delete", "table", "bridge", BRIDGE)

    def _next(self, name: str) -> Host:
        self._number += 1
        host = Host(name, f"{SUBNET}.{self._number}", f"to-{name}")
        self._ports.append(host.port)
        return host


def _element(what: str, name: str, host: Host) -> None:
    _run("nft", what, "element", "bridge", BRIDGE, name, f'{{ "{host.port}" }}')


def _run(*command: str, text: str | None = None) -> None:
    done = subprocess.run(command, input=text, capture_output=True, text=True, check=False)
    if done.returncode:
        raise RuntimeError(f"{_shown(command)}: {done.stderr.strip()}")


def _shown(command: Sequence[str]) -> str:
    return " ".join(command)
