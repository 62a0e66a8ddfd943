"""The switch: the only way into an instance.

A service in an instance listens on a socket file `PORT` in the instance's ports directory. The switch listens on
the instance's addresses exactly where that file exists and a rule of its security groups allows the port to
somebody, and relays. A rule for everybody passes at once. For any other rule the switch asks which instance's
process has made the connection: that instance must be a member of the rule's group, or its fixed address in the
rule's prefix; a connection of no instance counts by its own address. Nobody else is answered but by a reset, nor is a
connection of which it is not known whose it is.
An instance on a network of its own, which no router joins to the address's, is nobody, whatever the rules say.
"""

from __future__ import annotations

import asyncio
import contextlib
import errno
import ipaddress
import logging
import os
import resource
import socket
import stat
import time
from collections.abc import Awaitable, Callable, Coroutine, Mapping
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import Any

from faafo_lab.cloud.emulator.machinery.hypervisor.client import HypervisorError
from faafo_lab.cloud.emulator.machinery.switch.faults import Back, Faults, Line, LinkFault
from faafo_lab.cloud.emulator.machinery.switch.plug import Plug, in_any
from faafo_lab.cloud.emulator.machinery.switch.relay import CONNECT_LIMIT_SECONDS, End, reset
from faafo_lab.cloud.emulator.system.peers import Socket, peer_socket
from faafo_lab.cloud.emulator.system.sockets import Listening

log = logging.getLogger(__name__)

Owner = Callable[[Socket], Awaitable[str | None]]

RELAYS_PER_INSTANCE_MAX = 1000
PRIVILEGED_PORTS = 1024
_WATCH_SECONDS = 0.1
_RETRY_SECONDS = 2.0
_UNSETTLED_SECONDS = 0.1  # a directory changed so lately may change again without its time of change showing it
_FILES_KEPT = 128  # open files that the emulator needs for other things than relays
_COMPLAIN_SECONDS = 60.0


@dataclass
class Outlet:
    """An instance at the switch: what it wants, and what is there."""

    plug: Plug
    # By address and published port; with the port in the instance
    listeners: dict[tuple[str, int], tuple[int, Listening]] = field(default_factory=dict)
    relays: set[End] = field(default_factory=set)
    seen: int | None = None  # the ports directory's time of change when it was last listed; None: list it
    ports: frozenset[int] = frozenset()  # the ports that have a socket
    retry: float = 0.0  # when to try again what could not be opened
    complaints: dict[str, float] = field(default_factory=dict)
    # For the load balancers, while something is wrong with the link
    doors: dict[Path, Listening] = field(default_factory=dict)


class Switch:
    """All instances' listeners and relays; belongs to one asyncio loop."""

    def __init__(self, owner: Owner, port_offset: int, console: Callable[[str, str], None]) -> None:
        """`owner` is `Hypervisor.owner`; ports below 1024 are published `port_offset` higher; `console` writes a
        line into an instance's console log."""
        self._owner = owner
        self._offset = port_offset
        self._console = console
        self._outlets: dict[str, Outlet] = {}
        self._doors: dict[tuple[str, int, str], Path] = {}
        self._tasks: set[asyncio.Task[None]] = set()
        self._watcher: asyncio.Task[None] | None = None
        self._faults: dict[str, LinkFault] = {}
        self._relays_max = _raise_file_limit()
        self._relays = 0

    def apply(self, plugs: Mapping[str, Plug]) -> None:
        """Make these, all of them, the instances at the switch. Connections that are open stay; those to instances
        that are gone are closed."""
        self._doors.clear()
        for id in [id for id in self._outlets if id not in plugs]:
            self._unplug(id)
        for id, plug in plugs.items():
            outlet = self._outlets.get(id)
            if outlet is None:
                self._outlets[id] = Outlet(plug)
            elif outlet.plug != plug:
                if outlet.plug.ports != plug.ports:
                    outlet.seen = None
                outlet.plug = plug
                outlet.retry = 0.0
        self._reconcile()
        if self._watcher is None:
            self._watcher = asyncio.get_running_loop().create_task(self._watch())

    async def close(self) -> None:
        """Close every listener and every relay."""
        if self._watcher is not None:
            self._watcher.cancel()
            self._watcher = None
        for id in list(self._outlets):
            self._unplug(id)
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    def published(self, port: int) -> int:
        """Where an instance's port is reached."""
        return port + self._offset if port < PRIVILEGED_PORTS else port

    # Listeners

    async def _watch(self) -> None:
        while True:
            await asyncio.sleep(_WATCH_SECONDS)
            try:
                self._reconcile()
            except Exception:
                log.exception("The switch could not be brought up to date")

    def _reconcile(self) -> None:
        """Close what is open and not wanted, then open what is wanted and missing: an address may have moved."""
        wanted = {id: self._wanted(id, outlet) for id, outlet in self._outlets.items()}
        for id, outlet in self._outlets.items():
            for key, (port, listening) in list(outlet.listeners.items()):
                if wanted[id].get(key) != port:
                    del outlet.listeners[key]
                    listening.close()
        for id, outlet in self._outlets.items():
            missing = {key: port for key, port in wanted[id].items() if key not in outlet.listeners}
            if missing and time.monotonic() >= outlet.retry:
                for key, port in missing.items():
                    self._open(id, outlet, key, port)

    def _wanted(self, id: str, outlet: Outlet) -> dict[tuple[str, int], int]:
        """Address and published port to the instance's port, for all that is to be open."""
        self._look(outlet)
        wanted: dict[tuple[str, int], int] = {}
        for port in sorted(outlet.ports):
            if not outlet.plug.rules_for(port):
                continue
            for address in outlet.plug.addresses:
                first = wanted.setdefault((address, self.published(port)), port)
                if first != port:
                    self._complain(id, outlet, f"switch: port {port} is not published: port {first} is, in its place.")
        return wanted

    def _look(self, outlet: Outlet) -> None:
        """List the ports directory again if it has changed."""
        try:
            changed = os.stat(outlet.plug.ports).st_mtime_ns
        except OSError:
            outlet.seen, outlet.ports = None, frozenset()
            return
        if changed == outlet.seen:
            return
        settled = time.time_ns() - changed > _UNSETTLED_SECONDS * 1e9
        found = set()
        for name in os.listdir(outlet.plug.ports):
            if name.isascii() and name.isdigit() and 0 < int(name) < 65536 and str(int(name)) == name:
                try:
                    if stat.S_ISSOCK(os.stat(outlet.plug.ports / name).st_mode):
                        found.add(int(name))
                except OSError:
                    settled = False  # a link whose end is yet to come
        outlet.ports = frozenset(found)
        outlet.seen = changed if settled else None

    def _open(self, id: str, outlet: Outlet, key: tuple[str, int], port: int) -> None:
        try:
            outlet.listeners[key] = port, Listening(key, partial(self._take, id, outlet, port))
        except OSError as error:
            outlet.retry = time.monotonic() + _RETRY_SECONDS
            self._complain(id, outlet, _why_not(key, port, error))

    def _unplug(self, id: str) -> None:
        outlet = self._outlets.pop(id)
        for listening in (*(each for _, each in outlet.listeners.values()), *outlet.doors.values()):
            listening.close()
        for end in list(outlet.relays):
            if end.transport is not None:
                reset(end.transport)

    def _complain(self, id: str, outlet: Outlet, line: str) -> None:
        """Into the console log, but not again and again."""
        now = time.monotonic()
        if now >= outlet.complaints.get(line, 0.0):
            outlet.complaints[line] = now + _COMPLAIN_SECONDS
            log.warning("instance %s: %s", id, line)
            self._console(id, line)

    # Connections

    def _take(self, id: str, outlet: Outlet, port: int, connection: socket.socket, *, known: bool = False) -> None:
        make = partial(Front, self, id, outlet, port, known=known)
        self._begin(asyncio.get_running_loop().connect_accepted_socket(make, connection))

    def admit(self, front: Front) -> None:
        """A connection has been made: count it, and see to it."""
        outlet = front.outlet
        outlet.relays.add(front)
        self._relays += 1
        if len(outlet.relays) > RELAYS_PER_INSTANCE_MAX or self._relays > self._relays_max:
            limit = min(RELAYS_PER_INSTANCE_MAX, self._relays_max)
            self._complain(
                front.id,
                outlet,
                f"switch: port {front.port}: more than {limit} open connections: new ones are refused.",
            )
            front.refuse()
            return
        self._begin(self._connect(front))

    def _begin(self, work: Coroutine[Any, Any, Any]) -> None:
        task = asyncio.get_running_loop().create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    def forget(self, front: Front) -> None:
        front.outlet.relays.discard(front)
        self._relays -= 1

    async def _connect(self, front: Front) -> None:
        try:
            if not front.known and not await self._allowed(front):
                front.refuse()
                return
            place = str(front.outlet.plug.ports / str(front.port))
            async with asyncio.timeout(CONNECT_LIMIT_SECONDS):
                _, back = await asyncio.get_running_loop().create_unix_connection(Back, place)
        except Exception as error:
            if isinstance(error, HypervisorError):
                self._complain(
                    front.id, front.outlet, f"switch: port {front.port}: who connects is not known: refused."
                )
            elif not isinstance(error, OSError):  # a TimeoutError is one
                log.exception("A connection to port %d of instance %s could not be judged", front.port, front.id)
            front.refuse()
            return
        if front.transport is None or self._outlets.get(front.id) is not front.outlet:
            if back.transport is not None:
                back.transport.abort()
            front.refuse()
            return
        front.back = back
        await self._concern(front)
        front.join(back)

    async def _allowed(self, front: Front) -> bool:
        """Whether a rule lets this connection in, by the rules as they are now."""
        rules = front.outlet.plug.rules_for(front.port)
        if not rules or front.transport is None:
            return False
        peer: tuple[str, int] | None = front.transport.get_extra_info("peername")
        if peer is None:
            return False  # it has hung up already
        local: tuple[str, int] = front.transport.get_extra_info("sockname")
        anybody = any(rule.for_anybody for rule in rules)
        outsiders = front.outlet.plug.outsiders.get(local[0])
        if anybody and not outsiders:
            return True
        owner = await self._instance(peer, local)
        if outsiders and owner in outsiders:
            return False
        if anybody or any(owner in rule.remote_instances for rule in rules if rule.remote_instances):
            return True
        by_prefix = [rule.remote_prefix for rule in rules if rule.remote_prefix]
        return bool(by_prefix) and in_any(ipaddress.ip_network(self._address(owner, peer)), by_prefix)

    async def _instance(self, peer: tuple[str, int], local: tuple[str, int]) -> str | None:
        """The instance whose process has connected, None for another process.

        Raises ConnectionResetError where it has hung up already, HypervisorError where it is not known who it is.
        """
        found = peer_socket(peer, local)
        if found is None:
            raise ConnectionResetError(errno.ECONNRESET, "the client has hung up")
        return await self._owner(found)

    def _address(self, instance: str | None, peer: tuple[str, int]) -> str:
        """What a client goes by: an instance could connect from any address. Raises PermissionError for one that has
        none."""
        if instance is None:
            return peer[0]
        if instance not in self._outlets:
            raise PermissionError(errno.EACCES, f"instance {instance} is at no network")
        return self._outlets[instance].plug.fixed_address

    # Faults

    @property
    def faults(self) -> list[LinkFault]:
        """What is wrong now, the oldest first."""
        return list(self._faults.values())

    def begin_fault(self, fault: LinkFault) -> None:
        """Let this be wrong with a link from now on, for open connections too."""
        self._faults[fault.id] = replace(fault, since=asyncio.get_running_loop().time())
        self._concern_all(fault.target)

    def end_fault(self, id: str) -> None:
        """End a fault. Raises KeyError."""
        self._concern_all(self._faults.pop(id).target)

    def _faults_of(self, front: Front) -> Faults:
        return tuple(
            fault
            for fault in self._faults.values()
            if fault.concerns(front.id, front.port) and fault.source in (None, front.owner)
        )

    def _concern_all(self, id: str) -> None:
        """The faults of an instance are others now."""
        self._doors.clear()
        for front in self._outlets[id].relays if id in self._outlets else ():
            if isinstance(front, Front) and front.back is not None:
                self._begin(self._concern(front))

    async def _concern(self, front: Front) -> None:
        """Have a connection go through what is wrong with its link."""
        about = [fault for fault in self._faults.values() if fault.concerns(front.id, front.port)]
        if any(fault.source for fault in about) and not front.owner_known and front.transport is not None:
            ends = front.transport.get_extra_info("peername"), front.transport.get_extra_info("sockname")
            with contextlib.suppress(OSError, HypervisorError):  # then it is nobody's
                front.owner = await self._instance(*ends)
            front.owner_known = True
        if front.back is None:
            return
        if front.back.line is not None:
            front.back.line.look_again()
        elif self._faults_of(front):
            front.back.line = Line(front, front.back, lambda: self._faults_of(front))

    # For the load balancers

    def door(self, address: str, port: int, source: str) -> Path:
        """The socket file behind an instance's port, for who comes from `source` (CIDR) and is no instance.

        Raises ConnectionRefusedError where no instance has the address, or none of its rules lets `source` in.
        """
        if (known := self._doors.get((address, port, source))) is not None:
            return known
        block = ipaddress.ip_network(source)
        for id, outlet in self._outlets.items():
            if address in outlet.plug.addresses and any(
                rule.for_anybody or (rule.remote_prefix and in_any(block, [rule.remote_prefix]))
                for rule in outlet.plug.rules_for(port)
            ):
                broken = any(fault.source is None and fault.concerns(id, port) for fault in self._faults.values())
                place = self._broken_door(id, outlet, port) if broken else outlet.plug.ports / str(port)
                self._doors[address, port, source] = place
                return place
        raise ConnectionRefusedError(errno.ECONNREFUSED, f"nobody at {address}:{port} lets {source} in")

    def _broken_door(self, id: str, outlet: Outlet, port: int) -> Path:
        """A socket file whose connections go through what is wrong with the link."""
        place = outlet.plug.ports / f"{port}.broken"
        if place not in outlet.doors or not place.exists():  # a boot empties the directory
            if place in outlet.doors:
                outlet.doors.pop(place).close()
            outlet.doors[place] = Listening(place, partial(self._take, id, outlet, port, known=True))
        return place

    async def client(self, peer: tuple[str, int], local: tuple[str, int]) -> tuple[str | None, str]:
        """Who has connected: the instance whose process it is, if any, and the address that it goes by.

        Raises OSError where it has hung up already or is an instance without an address, HypervisorError where it is
        not known who it is.
        """
        owner = await self._instance(peer, local)
        return owner, self._address(owner, peer)


class Front(End):
    """The end of a relay that a client has connected to."""

    def __init__(self, switch: Switch, id: str, outlet: Outlet, port: int, *, known: bool = False) -> None:
        """`known`: who connects, is let in, and is no instance."""
        super().__init__(lambda: switch.forget(self))
        self._switch = switch
        self.id = id
        self.outlet = outlet
        self.port = port
        self.back: Back | None = None
        self.owner: str | None = None  # the instance that has connected, if a fault asks for it
        self.owner_known = self.known = known

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Ask the switch what is to become of it."""
        super().connection_made(transport)
        self._switch.admit(self)

    def refuse(self) -> None:
        if self.transport is not None:
            reset(self.transport)


def _why_not(key: tuple[str, int], port: int, error: OSError) -> str:
    address, published = key
    start = f"switch: port {port} cannot be published at {address}:{published}"
    if error.errno == errno.EADDRINUSE:
        return f"{start}: that port is taken on this machine; stop the program that has it. Trying again."
    if error.errno == errno.EACCES:
        return f"{start}: this user may not listen on ports below {PRIVILEGED_PORTS}. Trying again."
    return f"{start}: {error.strerror}. Trying again."


def _raise_file_limit() -> int:
    """Let this process open as many files as it may; returns how many relays (two files each) that is."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    with contextlib.suppress(ValueError, OSError):
        resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
        soft = hard
    if soft == resource.RLIM_INFINITY:
        return 1 << 20
    return max(16, (soft - _FILES_KEPT) // 2)
