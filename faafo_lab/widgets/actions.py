"""What the dashboard's menus do to the application's servers: each returns in a few words what became of it.

    drain(app, "app-worker-1")         # "drained"
    faults = Faults(); faults.freeze(app, "app-worker-1"); faults.thaw(app, "app-worker-1"); faults.undo()

`app` is the application with a connection of this thread's own (`in_thread`), as it is now (`refresh`). All of them
raise CloudError: NotFound where it has no such server, TopologyError where what is asked makes no sense there.
"""

from __future__ import annotations

import threading

from faafo_lab import balancer, chaos
from faafo_lab.balancer import Balancer
from faafo_lab.chaos.servers import server_of, thaw_server
from faafo_lab.cloud.errors import CloudError
from faafo_lab.cloud.marks import ROLE_KEY
from faafo_lab.cloud.model import Server
from faafo_lab.topology import ROLES, Role, Topology, TopologyError


def remove(app: Topology, name: str) -> tuple[str, str]:
    """Remove this server, or the last one of this role, after a drain; its name, and what became of it."""
    if name in ROLES:
        there = app.of_role(name)
        if not there:
            raise TopologyError(f"There is no {name} server to remove.")
        server = there[-1]
    else:
        server = server_of(app, name)
    role = _role(server)
    if role is None or not role.numbered:
        raise TopologyError(f"{server.name} stays: only API servers and workers are removed here.")
    if role.serves and len(app.apis) == 1:
        raise TopologyError("The last API server stays: without it the application has no API.")
    return server.name, app.remove([server])[server.name]


def delete(app: Topology, name: str) -> str:
    """Delete this server without a drain, unless the database would go with it."""
    if not name:
        raise TopologyError("There is no server to delete.")
    if name not in app.servers:
        raise TopologyError(f"Server {name} no longer exists.")
    role = _role(app.servers[name])
    if role and role.has_database:
        raise TopologyError(f"{name} has the database: chaos.delete(app, {name!r}) deletes it, and all fractals.")
    app.cloud.delete_servers([app.servers[name]])
    return "deleted; its in-flight tasks return to the queue"


def drain(app: Topology, name: str) -> str:
    """Let a worker take no new task, and an API behind the load balancer no new request from that; of a worker, returns
    when it has finished its in-flight tasks."""
    server = server_of(app, name)
    if front := _front(app, server):
        balancer.set_weight(app.cloud, front, name, 0)
        return "the load balancer gives it no new requests"
    app.drain([name])
    return "drained: it takes no new tasks"


def undrain(app: Topology, name: str) -> str:
    """End a drain."""
    server = server_of(app, name)
    if front := _front(app, server):
        balancer.set_weight(app.cloud, front, name, 1)
        return "the load balancer gives it requests again"
    app.api.drain(name, False)
    return "takes tasks again"


def kill(app: Topology, name: str) -> str:
    """Cut a server's power; returns when it has booted again."""
    fault = chaos.kill(app, name)
    fault.undo()  # it boots by itself: this waits until it is ACTIVE
    return "lost its power, and has booted again"


class Faults:
    """The servers that a dashboard has frozen. Safe for threads."""

    def __init__(self) -> None:
        self._frozen: dict[str, chaos.Fault] = {}
        self._lock = threading.Lock()
        self._over = False

    def freeze(self, app: Topology, name: str) -> str:
        """Freeze a server: it keeps its memory and its connections, and does nothing at all."""
        if server_of(app, name).status == "PAUSED":
            raise TopologyError(f"{name} is frozen already.")
        fault = chaos.freeze(app, name)
        with self._lock:
            self._frozen[name] = fault
            over = self._over
        if over:  # closed meanwhile
            fault.undo()
        return "frozen: it keeps its memory and its connections, and does nothing"

    def thaw(self, app: Topology, name: str) -> str:
        """Let a frozen server go on, whoever froze it."""
        server = server_of(app, name)
        if server.status != "PAUSED":
            raise TopologyError(f"{name} is not frozen.")
        with self._lock:
            fault = self._frozen.get(name)
        if fault is None:
            thaw_server(app, server)
        else:
            fault.undo()
            with self._lock:
                self._frozen.pop(name, None)
        return "goes on"

    def undo(self) -> list[str]:
        """Thaw what is still frozen, and what may still be frozen after this; what was not possible, in sentences."""
        with self._lock:
            self._over, frozen = True, dict(self._frozen)
        problems = []
        for name, fault in frozen.items():
            try:
                fault.undo()
            except CloudError as error:
                problems.append(f"{name} is still frozen, chaos.undo_all() tries again: {error}")
        return problems


def _role(server: Server) -> Role | None:
    """Its role; None for a server that an exercise has made."""
    return ROLES.get(server.metadata[ROLE_KEY])


def _front(app: Topology, server: Server) -> Balancer | None:
    """The load balancer that the API is behind; None for a worker. Raises TopologyError for what can't be drained."""
    role = _role(server)
    if role and role.name == "worker":
        return None
    front = app.front if role and role.serves else None
    if front is None or server.name not in {member.name for member in front.members}:
        raise TopologyError(f"{server.name} can't be drained: a worker can be, or an API behind a load balancer.")
    return front
