"""Faults of a server, or of a service on it: kill, stop, freeze, delete.

Services are those that `faafo-install` starts, by the names that they have on the embedded image; on a distribution,
whose packages have names of their own, `faafo-database` is PostgreSQL and `faafo-messaging` RabbitMQ.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

from faafo_lab.chaos.errors import ChaosError
from faafo_lab.chaos.fault import Fault, inject
from faafo_lab.cloud import sdk
from faafo_lab.cloud.errors import NotFound
from faafo_lab.cloud.lookup import pick
from faafo_lab.cloud.marks import ROLE_KEY
from faafo_lab.cloud.model import Server
from faafo_lab.topology import Topology
from faafo_lab.topology.roles import role_named

SERVICES = ("faafo-api", "faafo-worker", "faafo-database", "faafo-messaging")
PACKAGED = {"faafo-database": "postgresql", "faafo-messaging": "rabbitmq-server"}
CLUSTERS = {"postgresql": "'postgresql@*'"}  # Debian's unit is a parent without processes: they are its instances'
SERVICE_SECONDS = 120.0  # a worker that is stopped finishes its task first


def kill(app: Topology, server: str, service: str | None = None) -> Fault:
    """Kill a service's processes (SIGKILL): its supervisor starts it again a second later. Without `service`, cut the
    server's power: it boots again by itself. Undoing it starts a service that its supervisor has given up.

    Raises NotFound if there is no such server or service, CommandFailed if the service does not run.
    """
    there = server_of(app, server)
    if service is None:
        return inject(
            app,
            f"{there.name} lost its power",
            lambda: app.cloud.reboot_server(there, hard=True),
            partial(start_server, app, there),
            there.name,
        )
    return _on_service(app, there, service, "was killed", "kill --signal=SIGKILL", f"({_START})")


def stop(app: Topology, server: str, service: str | None = None) -> Fault:
    """Stop a service in an orderly way, or, without `service`, shut the server down; it stays so until it is undone.

    Raises NotFound if there is no such server or service.
    """
    there = server_of(app, server)
    if service is None:
        return inject(
            app,
            f"{there.name} is shut down",
            partial(_stop_server, app, there),
            partial(start_server, app, there),
            there.name,
        )
    return _on_service(app, there, service, "is stopped", "stop", f"({_START})")


def freeze(app: Topology, server: str, service: str | None = None) -> Fault:
    """Freeze a service, or, without `service`, the whole server (Nova's pause): it keeps its memory and its
    connections, and does nothing at all until it is undone.

    Raises NotFound if there is no such server or service, CommandFailed if the service does not run.
    """
    there = server_of(app, server)
    if service is None:
        return inject(
            app,
            f"{there.name} is frozen",
            partial(_freeze_server, app, there),
            partial(thaw_server, app, there),
            there.name,
        )
    # It may have died meanwhile, and its successor is not frozen.
    return _on_service(app, there, service, "is frozen", "freeze", "{ sudo systemctl thaw %s || true; }")


def delete(app: Topology, server: str) -> Fault:
    """Delete a server. Undoing it builds a server of its role anew, and returns when that serves: with the first free
    number; nothing if one of its name exists by then, or as many of its role as before.

    Raises NotFound if there is no such server.
    """
    there = server_of(app, server)
    app.refresh()
    numbers = {role: len(app.of_role(role)) for role in ("api", "worker")}
    return inject(
        app,
        f"{there.name} is deleted",
        lambda: app.cloud.delete_servers([there]),
        partial(_build, app, there, numbers),
        there.name,
    )


def server_of(app: Topology, name: str) -> Server:
    """The application's server of this name, as it is now. Raises NotFound."""
    return pick("server of the application", list(app.refresh().servers.values()), name)


def unit(app: Topology, service: str) -> str:
    """A service's systemd unit on this application's image. Raises NotFound."""
    if service not in SERVICES:
        raise NotFound.among("service", service, SERVICES)
    return service if app.embedded else PACKAGED.get(service, service)


_START = "sudo systemctl reset-failed %s 2>/dev/null; sudo systemctl start %s"


def _on_service(app: Topology, server: Server, service: str, words: str, verb: str, undo: str) -> Fault:
    name = unit(app, service)
    processes = CLUSTERS.get(name, name) if verb != "stop" else name
    back = undo.replace("%s", name if "start" in undo else processes)
    return inject(
        app,
        f"{service} on {server.name} {words}",
        run(app, server, f"sudo systemctl {verb} {processes}"),
        run(app, server, back),
        server.name,
    )


def run(app: Topology, server: Server, command: str) -> Callable[[], object]:
    """A function that runs a shell command on a server. Raises as `Cloud.run` does."""
    return partial(app.cloud.run, server, command, timeout_seconds=SERVICE_SECONDS, check=True)


def _pause(app: Topology, server: Server, verb: str) -> None:
    with sdk.asking(app.cloud, f"{verb} {server.name}") as connection:
        getattr(connection.compute, f"{verb}_server")(server.id)


def _stop_server(app: Topology, server: Server) -> None:
    app.cloud.stop_server(server)
    app.cloud.wait_for(server, "SHUTOFF", progress=False)


def _freeze_server(app: Topology, server: Server) -> None:
    _pause(app, server, "pause")
    app.cloud.wait_for(server, "PAUSED", progress=False)


def start_server(app: Topology, server: Server) -> None:
    """Start a server if it is shut down; returns when it is ACTIVE."""
    now = app.cloud.server(server.id)
    if now.status == "SHUTOFF":
        app.cloud.start_server(now)
    app.cloud.wait_for(now, progress=False)


def thaw_server(app: Topology, server: Server) -> None:
    """Let a frozen server go on; returns when it is ACTIVE."""
    if app.cloud.server(server.id).status == "PAUSED":
        _pause(app, server, "unpause")
    app.cloud.wait_for(server, progress=False)


def _build(app: Topology, server: Server, numbers: dict[str, int]) -> None:
    """A server of this one's role again."""
    if server.name in app.refresh().servers:
        return
    role = role_named(server.metadata[ROLE_KEY])
    if role.numbered and app.of_role("services"):
        if len(app.of_role(role.name)) < numbers[role.name]:  # an autoscaler may have replaced it
            app.add(role.name)
    elif role.name in ("services", "api", "worker") and app.of_role("api"):
        app.deploy(numbers["api"], numbers["worker"])
    elif role.name in ("controller", "worker"):
        app.deploy_controller(numbers["worker"])
    elif role.name == "all-in-one":
        app.deploy_all_in_one()
    else:
        raise ChaosError(f"{server.name} can't be built again: nothing is left of the application. Deploy it.")
