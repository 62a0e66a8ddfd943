"""What the tests of the machine room share: a hypervisor with real instances, and a limit on every wait."""

from __future__ import annotations

import asyncio
import base64
import contextlib
import functools
import io
import itertools
import signal
import subprocess
import sys
import tarfile
import threading
from collections.abc import Callable, Coroutine, Iterator, Mapping
from concurrent.futures import Future
from pathlib import Path
from typing import Any, TypeVar

import pytest

from faafo_lab.cloud.emulator.addresses import Claim
from faafo_lab.cloud.emulator.machinery.hypervisor.client import Guest, Hypervisor
from faafo_lab.cloud.emulator.system import tree
from tests.waiting import LIMIT_SECONDS, wait_for

T = TypeVar("T")


def make_image(path: Path, files: Mapping[str, str] | None = None) -> Path:
    """An image: a tar.gz of an initial disk."""
    with tarfile.open(path, "w:gz") as archive:
        for name, text in (files or {"etc/os-release": "NAME=test\n"}).items():
            member = tarfile.TarInfo(name)
            member.size = len(text.encode())
            member.mode = 0o755 if name.startswith("bin/") else 0o644
            archive.addfile(member, io.BytesIO(text.encode()))
    return path


class Machine:
    """A hypervisor, and a loop for it in a thread of its own, so that tests read from top to bottom."""

    def __init__(self, state_dir: Path) -> None:
        self.state_dir = state_dir
        self.exits: list[str] = []
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever)
        self._thread.start()
        self.hypervisor = Hypervisor(state_dir, self.exits.append)

    def begin(self, work: Coroutine[Any, Any, T]) -> Future[T]:
        """Start a coroutine in the loop."""
        return asyncio.run_coroutine_threadsafe(work, self._loop)

    def do(self, work: Coroutine[Any, Any, T]) -> T:
        """Run a coroutine in the loop."""
        return self.begin(work).result(LIMIT_SECONDS)

    def call(self, function: Callable[..., T], *arguments: Any) -> T:
        """Call a function in the loop."""

        async def called() -> T:
            return function(*arguments)

        return self.do(called())

    def close(self) -> None:
        try:
            self.do(self.hypervisor.close())
        finally:
            self._loop.call_soon_threadsafe(self._loop.stop)
            self._thread.join(LIMIT_SECONDS)
            self._loop.close()
            left = tree.leftovers(self.state_dir)
            for pid in left:
                tree.send(pid, signal.SIGKILL)
        assert not left


class Room:
    """A test's instances on a machine."""

    def __init__(self, machine: Machine, directory: Path) -> None:
        self.machine = machine
        self.directory = directory
        self.hypervisor = machine.hypervisor
        self.do, self.call = machine.do, machine.call
        self.exits = machine.exits
        self.exits.clear()
        self.image = make_image(directory / "image.tar.gz")
        self.guests: dict[str, Guest] = {}

    def clear(self) -> None:
        """End all instances; their consoles are told where the test has failed."""
        for id in self.guests:
            self.kill(id)
            print(f"--- console of {id}\n{self.console(id)}")

    def programs(self) -> list[int]:
        """What instances have started, whoever knows of it; neither the hypervisor nor the inits."""
        mark = tree.INSTANCE_VARIABLE.encode() + b"="
        left = tree.leftovers(self.machine.state_dir)
        return [pid for pid in left if mark in tree.read(f"/proc/{pid}/environ", 1 << 17)]

    def guest(self, id: str = "one", user_data: str | bytes | None = None, **details: Any) -> Guest:
        directory = self.directory / "instances" / id
        directory.mkdir(parents=True, exist_ok=True)
        if isinstance(user_data, str):
            user_data = user_data.encode()
        settings: dict[str, Any] = {
            "name": f"vm-{id}",
            "image_path": str(self.image),
            "cores": None,
            "memory_mb": 512,
            "user_data": base64.b64encode(user_data).decode() if user_data is not None else None,
            **details,
        }
        ports = str(self.hypervisor.ports_dir(id))
        self.guests[id] = guest = Guest(id=id, directory=str(directory), ports=ports, **settings)
        return guest

    def boot(self, id: str = "one", user_data: str | bytes | None = None, **details: Any) -> Guest:
        guest = self.guest(id, user_data, **details)
        self.do(self.hypervisor.boot(guest))
        return guest

    def boot_again(self, user_data: str) -> None:
        """Kill the first instance, which has booted, and boot it a second time; returns when it has."""
        self.kill()
        self.boot(first_boot=False, user_data=user_data)
        wait_for("the second boot", lambda: self.console().count("Startup finished") == 2)

    def kill(self, id: str = "one") -> None:
        self.do(self.hypervisor.kill(id))

    def pids(self, id: str = "one") -> list[int]:
        return self.do(self.hypervisor.pids(id))

    def disk(self, id: str = "one") -> Path:
        return self.directory / "instances" / id / "disk"

    def console(self, id: str = "one") -> str:
        path = self.directory / "instances" / id / "console.log"
        return path.read_text(errors="replace") if path.exists() else ""

    def finished(self, id: str = "one") -> str:
        """Await the end of the user data; the console log."""
        wait_for(f"the boot of {id}", lambda: "Startup finished" in self.console(id))
        return self.console(id)

    def gauge(self, name: str, id: str = "one") -> list[str]:
        """The words of a file of the instance's own /proc."""
        return (self.directory / "instances" / id / "procfs" / name).read_text().split()

    def ports(self, id: str = "one") -> Path:
        return self.hypervisor.ports_dir(id)


@pytest.fixture(scope="module")
def machine(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Machine]:
    """A started hypervisor for the tests of a module; at the end nothing of it may be left."""
    machine = Machine(tmp_path_factory.mktemp("machine"))
    try:
        machine.do(machine.hypervisor.start())
        yield machine
    finally:
        machine.close()


@pytest.fixture
def room(machine: Machine, tmp_path: Path) -> Iterator[Room]:
    """A test's own instances, which end with it."""
    room = Room(machine, tmp_path)
    try:
        yield room
    finally:
        room.clear()
    assert room.programs() == []


_hosts = itertools.count(2)


@functools.cache
def _network() -> Claim:
    return Claim.take()  # as an embedded cloud does, for as long as the tests run


def an_address() -> str:
    """A loopback address that nobody else uses."""
    return f"127.{_network().number}.0.{next(_hosts)}"


_BIRTHS = """
import _thread
while True:
    try:
        _thread.start_new_thread(int, ())
    except RuntimeError:
        pass
"""


@contextlib.contextmanager
def a_busy_host() -> Iterator[None]:
    """A program of this machine, no instance's, to which the kernel gives process numbers as fast as it can, some
    10,000/s: a thread takes one, too."""
    program = subprocess.Popen([sys.executable, "-IS", "-c", _BIRTHS])
    try:
        yield
    finally:
        program.kill()
        program.wait()


def alive(pid: int) -> bool:
    """Whether a process exists and is more than a zombie."""
    seen = tree.stat(pid)
    return seen is not None and seen.state not in "ZX"
