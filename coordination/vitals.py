"""The metrics that workers and masters have in common: what they are, what they use of their host, their etcd."""

import os
import platform
import resource
import time
from collections.abc import Mapping
from pathlib import Path

from coordination.connectivity import Connectivity
from coordination.exposition import Registry

PAGE = os.sysconf("SC_PAGE_SIZE")


class Vitals:
    """``process`` is ``worker`` or ``master``."""

    def __init__(self, registry: Registry, process: str, version: str, connectivity: Connectivity) -> None:
        self._connectivity = connectivity
        build = registry.gauge("ects_build_info", "1; what runs here.", ["process", "version", "python"])
        build.set(1, process, version, platform.python_version())
        began = registry.gauge("ects_process_start_time_seconds", "When the process began, in Unix time.")
        began.set(time.time())
        self._cpu = registry.counter("ects_process_cpu_seconds_total", "Processor time of the process itself.")
        self._memory = registry.gauge("ects_process_resident_bytes", "Memory of the process itself.")
        self._files = registry.gauge("ects_process_open_files", "Files and sockets that the process has open.")
        limit = registry.gauge("ects_process_max_files", "How many it may have open.")
        most = resource.getrlimit(resource.RLIMIT_NOFILE)[0]
        limit.set(most if most != resource.RLIM_INFINITY else None)
        self._connected = registry.gauge("ects_etcd_connected", "1 while the process is connected to etcd.")
        self._online = registry.counter("ects_etcd_connected_seconds_total", "Seconds connected to etcd.")
        self._offline = registry.counter("ects_etcd_disconnected_seconds_total", "Seconds not connected to etcd.")
        self._lease = registry.gauge(
            "ects_lease_remaining_seconds", "Seconds that a lease in etcd still lives without a renewal.", ["lease"]
        )

    def read(self, leases: Mapping[str, float]) -> None:
        """Brings them up to date. ``leases``: seconds left, by name; 0 or less when there is none."""
        self._cpu.reach(time.process_time())
        self._memory.set(int(Path("/proc/self/statm").read_text().split()[1]) * PAGE)
        self._files.set(len(os.listdir("/proc/self/fd")))
        self._connected.set(self._connectivity.is_connected)
        connected, disconnected = self._connectivity.seconds()
        self._online.reach(connected)
        self._offline.reach(disconnected)
        for name, seconds in leases.items():
            self._lease.set(max(seconds, 0.0), name)
