"""The load balancers' data path: listeners at VIPs, and relays from there to the members of a pool.

A load balancer is a host on its VIP's network: it enters an instance by the switch's rules, as one that comes from
the VIP's address, and belongs to no security group. A listener of HTTP balances by request (`proxy`), one of
TCP by connection. A member that cannot be reached costs a client nothing as long as another one can.
"""

from __future__ import annotations

import asyncio
import errno
import ipaddress
import logging
import socket
import struct
from collections.abc import Mapping
from dataclasses import replace
from functools import partial

from faafo_lab.cloud.emulator.machinery.balancing import proxy
from faafo_lab.cloud.emulator.machinery.balancing.dial import Dialer
from faafo_lab.cloud.emulator.machinery.balancing.health import Monitors
from faafo_lab.cloud.emulator.machinery.balancing.listeners import Frontend, Listener
from faafo_lab.cloud.emulator.machinery.balancing.pools import Backend, NobodyThere, Pool
from faafo_lab.cloud.emulator.machinery.balancing.tunnel import tunnel
from faafo_lab.cloud.emulator.machinery.hypervisor.client import HypervisorError
from faafo_lab.cloud.emulator.machinery.switch.plug import in_any
from faafo_lab.cloud.emulator.machinery.switch.switch import Switch
from faafo_lab.cloud.emulator.system.sockets import Listening

log = logging.getLogger(__name__)

_RETRY_SECONDS = 1.0


class Balancer:
    """All load balancers' listeners, relays and health checks; belongs to one asyncio loop."""

    def __init__(self, switch: Switch) -> None:
        self.switch = switch
        self.frontends: dict[str, Frontend] = {}
        self.backends: dict[str, Backend] = {}
        self._dialer = Dialer(switch.door, self.backends)
        self._monitors: dict[str, Monitors] = {}
        self._retry: asyncio.TimerHandle | None = None

    def apply(self, listeners: Mapping[str, Listener], pools: Mapping[str, Pool]) -> None:
        """Make these, all of them, the listeners and pools. Open connections stay; those to listeners that are gone
        are closed, and those to members that are gone when they have served."""
        for id in [id for id in self.backends if id not in pools]:
            backend = self.backends.pop(id)
            backend.update(replace(backend.pool, members=()))
            self._monitors[id].stop()
            del self._monitors[id]
        for id, pool in pools.items():
            if id not in self.backends:
                self.backends[id] = Backend(pool)
                self._monitors[id] = Monitors(self.backends[id], self.switch.door)
            self.backends[id].update(pool)
            self._monitors[id].follow()
        for id in [id for id in self.frontends if id not in listeners]:
            self._drop(self.frontends.pop(id))
        for id, listener in listeners.items():
            front = self.frontends.setdefault(id, Frontend(listener))
            if front.listener.port != listener.port:
                self._deafen(front, set())
            front.listener = listener
            self._deafen(front, set(listener.addresses))
        self._dialer.let_go()
        self._listen()

    async def close(self) -> None:
        if self._retry is not None:
            self._retry.cancel()
        tasks = [task for front in self.frontends.values() for task in front.serving]
        for front in self.frontends.values():
            self._drop(front)
        self.frontends.clear()
        await asyncio.gather(*tasks, return_exceptions=True)
        self._dialer.close()
        for each in self._monitors.values():
            each.stop()
        self._monitors.clear()

    # Listening

    def _listen(self) -> None:
        """Open what is wanted and missing; what cannot be opened is tried again."""
        if self._retry is not None:
            self._retry.cancel()
            self._retry = None
        for id, front in self.frontends.items():
            front.trouble = ""
            for address in front.listener.addresses:
                if address in front.accepting:
                    continue
                place = (address, self.switch.published(front.listener.port))
                try:
                    front.accepting[address] = Listening(place, partial(self._take, front))
                except OSError as error:
                    front.trouble = f"{address}:{place[1]}: {error.strerror}"
                    log.warning("listener %s cannot listen at %s", id, front.trouble)
            self._regulate(front)
        if any(front.trouble for front in self.frontends.values()):
            self._retry = asyncio.get_running_loop().call_later(_RETRY_SECONDS, self._listen)

    def _deafen(self, front: Frontend, keep: set[str]) -> None:
        """Listen at these addresses only."""
        for address in [address for address in front.accepting if address not in keep]:
            front.accepting.pop(address).close()

    def _drop(self, front: Frontend) -> None:
        self._deafen(front, set())
        for task in front.serving:
            task.cancel()

    def _regulate(self, front: Frontend) -> None:
        """Let whoever connects wait while there are as many connections as there may be."""
        for each in front.accepting.values():
            each.pause() if front.full else each.resume()

    def _take(self, front: Frontend, connection: socket.socket) -> None:
        task = asyncio.get_running_loop().create_task(self._serve(front, connection))
        front.serving.add(task)
        front.stats.active_connections += 1
        front.stats.total_connections += 1
        task.add_done_callback(partial(self._left, front))
        self._regulate(front)

    def _left(self, front: Frontend, task: asyncio.Task[None]) -> None:
        front.serving.discard(task)
        front.stats.active_connections -= 1
        self._regulate(front)
        if not task.cancelled() and (error := task.exception()) is not None:
            log.error("a connection through a load balancer failed", exc_info=error)

    # Serving

    async def _serve(self, front: Frontend, connection: socket.socket) -> None:
        try:
            connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            client = await self._admit(front, connection)
            if front.listener.http:
                await proxy.serve(self._dialer, front, connection, client)
            else:
                await self._relay(front, connection, client)
        except OSError:
            pass  # one of the two has gone: so does the other
        except HypervisorError as error:
            log.warning("a connection through a load balancer is refused: %s", error)
        finally:
            connection.close()

    async def _admit(self, front: Frontend, connection: socket.socket) -> str:
        """The client's address. Raises PermissionError where it may not come in, HypervisorError where it is not known
        who it is."""
        listener, backend = front.listener, self._dialer.backend(front)
        peer, local = connection.getpeername(), connection.getsockname()
        fixed = local[0] == listener.addresses[0] if listener.addresses else False
        wanted = listener.allowed or (fixed and listener.outsiders) or "X-Forwarded-For" in listener.insert_headers
        if not wanted and not (backend and backend.needs_client):
            return str(peer[0])
        owner, address = await self.switch.client(peer, local)
        shut_out = fixed and owner in listener.outsiders
        if shut_out or (listener.allowed and not in_any(ipaddress.ip_network(address), listener.allowed)):
            raise PermissionError(errno.EACCES, f"{address} may not come in")
        return address

    async def _relay(self, front: Frontend, connection: socket.socket, client: str) -> None:
        try:
            way = await self._dialer.dial(front, client, client)
        except NobodyThere:
            connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))  # closing is a reset
            return
        way.heard = True  # it may well be silent
        try:
            await tunnel(front, connection, way.sock)
        finally:
            self._dialer.leave(way, clean=False)
