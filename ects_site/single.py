"""``manage.py single``: a whole installation on one machine, in one supervised family of processes."""

import asyncio
import dataclasses
import fcntl
import os
import socket
import time
from collections.abc import Awaitable, Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from functools import partial
from pathlib import Path

import httpx
from django.conf import settings
from django.core.management import call_command
from django.utils import timezone
from msgspec import structs

from coordination.errors import CoordinationError
from coordination.etcd import SyncEtcd
from ects_site import etcd_process, example, listening
from ects_site.environment import env
from ects_site.listening import EVERYWHERE, LOOPBACK, CannotListen, PortTaken
from ects_site.supervisor import Supervisor, python
from pipelines.models import Pipeline
from workers import enrolment
from workers.engine import identity
from workers.models import Node

PORT_FREE_WITHIN = 15.0
"""Seconds that the web process of an earlier ``single``, which was killed, has to give its port back."""

READY_WITHIN = 60.0
"""Seconds for all parts to come up before the start is called slow."""


class CannotStart(Exception):
    """This installation cannot be started here and now; the sentence says what to do."""


class Single:
    """One start of the family. ``show`` prints a line.

    ``listeners`` are sockets on the console's port that somebody waits at already. ``with_example``: make the example
    pipeline also where there are users, but no pipelines.
    """

    def __init__(
        self, show: Callable[[str], None], listeners: Sequence[socket.socket] = (), *, with_example: bool = False
    ) -> None:
        self._show = show
        self._listeners = list(listeners)
        self._with_example = with_example
        self._has_worker = env.bool("ECTS_LOCAL_WORKER", default=True)
        self._supervisor = Supervisor(show)
        self._data: Path = settings.DATA_DIR
        self._bind = env.str("ECTS_BIND", default=EVERYWHERE)
        self._url = f"http://{LOOPBACK}:{settings.ECTS_PORT}"
        self._manage = str(settings.BASE_DIR / "manage.py")
        self._password: str | None = None
        self._token: str | None = None

    async def run(self) -> None:
        """Starts everything, says so when it is ready, and works until it is told to stop. Raises CannotStart."""
        with sole_owner(self._data):
            self._supervisor.handle_signals()
            try:
                await self._start_all()
                if not self._supervisor.stopping:
                    self._announce()
                await self._supervisor.wait()
            finally:
                # Who comes now is refused at once, instead of waiting for somebody who will not come.
                listening.close(self._listeners)
                await self._supervisor.stop()

    # -- parts --------------------------------------------------------------------------------------------------

    async def _start_all(self) -> None:
        """One after the other, as far as no stop is requested meanwhile."""
        steps: list[Callable[[], Awaitable[None]]] = [
            self._listen,
            self._start_etcd,
            partial(asyncio.to_thread, self._prepare),
            self._start_web,
            lambda: self._start("master", python(self._manage, "runmaster")),
            partial(self._until, self._alive, "the web process answers"),
            self._start_worker,
            partial(self._until, self._ready, "all parts are ready"),
        ]
        for step in steps:
            if not self._supervisor.stopping:
                await step()

    async def _listen(self) -> None:
        deadline = time.monotonic() + PORT_FREE_WITHIN
        while not self._supervisor.stopping:
            try:
                self._listeners = listening.listen(self._bind, settings.ECTS_PORT, self._listeners)
                return
            except PortTaken as error:
                if time.monotonic() > deadline:
                    raise CannotStart(str(error)) from None
            except CannotListen as error:
                raise CannotStart(str(error)) from None
            await asyncio.sleep(0.2)

    async def _start_web(self) -> None:
        await self._start("web", self._gunicorn(), descriptors=[sock.fileno() for sock in self._listeners])

    async def _start_worker(self) -> None:
        if self._has_worker:
            more = {} if self._token is None else {"ECTS_ENROLMENT_TOKEN": self._token}
            await self._start("worker", self._worker(), more)

    async def _start(
        self, name: str, command: list[str], more: dict[str, str] | None = None, descriptors: Sequence[int] = ()
    ) -> None:
        environment = {key: value for key, value in os.environ.items() if key != "ECTS_ADMIN_PASSWORD"}
        await self._supervisor.start(name, command, environment | (more or {}), descriptors)

    async def _start_etcd(self) -> None:
        """The installation's own, unless the environment names another."""
        if env.list("ECTS_ETCD_ENDPOINTS", default=[]):
            return
        binary = await asyncio.to_thread(etcd_process.find_or_install)
        endpoint, command = etcd_process.prepare(self._data / "etcd", binary)
        # The settings were read before the port was chosen.
        settings.ECTS_ETCD = dataclasses.replace(settings.ECTS_ETCD, endpoints=(endpoint,))
        # etcd 3.4 reads ETCD_* from the environment and refuses what it was also told by flag; ours hold passwords.
        clean = {name: value for name, value in os.environ.items() if not name.startswith(("ETCD_", "ECTS_"))}
        await self._supervisor.start("etcd", command, clean)
        await self._until(self._etcd_answers, "etcd answers")

    def _prepare(self) -> None:
        """The database, and on an empty one what a newcomer needs."""
        call_command("migrate", verbosity=0, interactive=False)
        self._password = example.make_admin()
        if not self._has_worker:
            return
        node = self._local_node()
        if self._password is not None or (self._with_example and not Pipeline.objects.exists()):
            example.make_example(self._url, node)
        else:
            example.follow_port(self._url)

    def _local_node(self) -> Node:
        """The node of this machine's worker; one that has not joined this installation gets a token."""
        state_dir = self._data / "worker"
        known = identity.load(state_dir, identity.machine_id())
        node = Node.objects.filter(pk=known.node).first() if known else None
        if node is None:
            if known is not None:
                # Of another database: the worker joins anew, as whoever this machine is now.
                (state_dir / identity.FILE).rename(state_dir / f"{identity.FILE}.of-another-database")
            node, _ = Node.objects.get_or_create(name=socket.gethostname())
            self._token, _ = enrolment.make_token(now=timezone.now(), node=node.pk)
        elif known is not None:
            # The ports may be others than when it joined.
            identity.save(state_dir, structs.replace(known, server_url=self._url, store=_etcd_as_now(known.store)))
        return node

    def _gunicorn(self) -> list[str]:
        return python(
            *("-m", "gunicorn", "--config", str(settings.BASE_DIR / "ects_site" / "web_server.py")),
            *(*listening.options(self._listeners), "--log-level", "warning"),
        )

    def _worker(self) -> list[str]:
        return python(
            *(self._manage, "runworker", "--server", self._url, "--state-dir", str(self._data / "worker")),
            *("--name", socket.gethostname()),
        )

    # -- being ready --------------------------------------------------------------------------------------------

    async def _until(self, probe: Callable[[], bool], what: str) -> None:
        deadline = time.monotonic() + READY_WITHIN
        while not self._supervisor.stopping and not await asyncio.to_thread(probe):
            if time.monotonic() > deadline:
                self._show(f"still waiting until {what} …")
                deadline = time.monotonic() + READY_WITHIN
            await asyncio.sleep(0.1)

    def _etcd_answers(self) -> bool:
        gateway = SyncEtcd(settings.ECTS_ETCD)
        with suppress(CoordinationError):
            gateway.get("/", timeout=1)
            return True
        return False

    def _alive(self) -> bool:
        with suppress(httpx.HTTPError):
            return httpx.get(f"{self._url}/healthz", timeout=2).status_code == 200
        return False

    def _ready(self) -> bool:
        with suppress(httpx.HTTPError):
            ready = httpx.get(f"{self._url}/readyz", timeout=3).status_code == 200
            has_worker = not self._has_worker or Node.objects.filter(mode=Node.Mode.WORKER, online=True).exists()
            return ready and has_worker
        return False

    def _announce(self) -> None:
        lines = ["ECTS is ready.", "", f"  Address:   {settings.ECTS_SERVER_URL}/"]
        if self._bind == EVERYWHERE and self._url == settings.ECTS_SERVER_URL:
            lines.append(f"             http://{socket.gethostname()}:{settings.ECTS_PORT}/ from other machines")
        if self._password is not None:
            lines += [f"  User:      {example.ADMIN}", f"  Password:  {self._password}"]
        lines += [f"  Data:      {self._data}", "", "  Stop with Ctrl-C."]
        width = max(map(len, lines)) + 4
        frame = "+" + "-" * width + "+"
        self._show("\n".join([frame, *(f"|  {line:<{width - 4}}  |" for line in lines), frame]))


@contextmanager
def sole_owner(directory: Path) -> Iterator[None]:
    """Two families in one directory would take each other's etcd away. Raises CannotStart."""
    directory.mkdir(parents=True, exist_ok=True, mode=0o700)
    descriptor = os.open(directory / "single.lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        yield
    except BlockingIOError:
        raise CannotStart(
            f"ECTS is running on {directory} already; give a second one its own ECTS_DATA_DIR and ECTS_PORT"
        ) from None
    finally:
        os.close(descriptor)


def _etcd_as_now(known: identity.Etcd) -> identity.Etcd:
    """The user stays that of the node; the console's is for the console."""
    etcd = settings.ECTS_ETCD
    return structs.replace(
        known,
        endpoints=etcd.endpoints,
        prefix=settings.ECTS_ETCD_PREFIX,
        ca=etcd.ca,
        certificate=etcd.certificate,
        key=etcd.key,
    )
