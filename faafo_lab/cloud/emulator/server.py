"""The emulator put together: one HTTP server for all services, the switch, and the hypervisor behind them."""

from __future__ import annotations

import errno
import logging
import socket
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import yaml
from tornado.httpserver import HTTPServer
from tornado.netutil import bind_sockets
from tornado.web import Application

from faafo_lab.cloud.emulator.addresses import Claim, port_offset
from faafo_lab.cloud.emulator.admin import TOKEN_FILE, Admin
from faafo_lab.cloud.emulator.common.names import ADMIN, DOMAIN, PROJECTS, REGION, id_of
from faafo_lab.cloud.emulator.common.service import MAX_JSON_BYTES, Service
from faafo_lab.cloud.emulator.common.store import Row, Store
from faafo_lab.cloud.emulator.errors import AddressError, EmulatorError
from faafo_lab.cloud.emulator.gateway import Gateway
from faafo_lab.cloud.emulator.machinery.hypervisor.client import Hypervisor
from faafo_lab.cloud.emulator.machinery.metadata.api import Metadata
from faafo_lab.cloud.emulator.machinery.switch.switch import Switch
from faafo_lab.cloud.emulator.services.block_storage.api import Volume
from faafo_lab.cloud.emulator.services.compute.api import Compute
from faafo_lab.cloud.emulator.services.identity.api import Identity
from faafo_lab.cloud.emulator.services.image.api import Image
from faafo_lab.cloud.emulator.services.load_balancer.api import LoadBalancing
from faafo_lab.cloud.emulator.services.network.api import Network
from faafo_lab.cloud.emulator.services.object_store.api import ObjectStore
from faafo_lab.cloud.emulator.site import Site
from faafo_lab.cloud.emulator.system import durable

log = logging.getLogger(__name__)

SERVICES: tuple[type[Service], ...] = (Identity, Image, Network, Compute, Volume, ObjectStore, LoadBalancing)
DEFAULT_PORT = 5000  # Keystone's; the address is the cloud's own, so it is seldom taken


class Emulator:
    """An embedded cloud: its state, its services, and what runs behind them."""

    def __init__(
        self,
        directory: Path,
        *,
        port: int | None = None,
        quotas: Mapping[str, int] | None = None,
        address_lag_seconds: float = 0.0,
        shares: float | None = None,
    ) -> None:
        """Read the state in `directory`, which is locked by the caller (see `control`). Raises `EmulatorError`.

        `shares` None: those of last time.
        """
        store = Store(directory / "state.sqlite")
        settings = store.table("setting")
        before = settings.get("address") or {}
        shares = shares or float((settings.get("shares") or {}).get("factor", 1.0))
        self._claim, self._sockets = _claim_addresses(before, port)
        used = self._sockets[0].getsockname()[1]
        self.site = site = Site(
            directory, store, dict(quotas or {}), self._claim.number, used, port_offset(), address_lag_seconds, shares
        )
        _move(store, before.get("number"), site.number)
        settings.put({"id": "address", "number": site.number, "port": site.port})
        settings.put({"id": "shares", "factor": shares})
        self.hypervisor = Hypervisor(directory, lambda server: self.compute.life.exited(server))
        self.identity = tokens = Identity(site, lambda: self.services)
        self.image = Image(site, tokens)
        self.network = Network(site, tokens, lambda server: self.compute.sockets(server))
        self.object_store = ObjectStore(site, tokens)
        self.volume = Volume(site, tokens, self.image, self.object_store, self.hypervisor.console)
        self.compute = Compute(site, tokens, self.network, self.image, self.volume, self.hypervisor)
        self.balancing = LoadBalancing(site, tokens, self.network)
        self.metadata = Metadata(site, self.hypervisor, self.compute.told)
        self.services: tuple[Service, ...] = (  # in the order in which they are set up
            self.identity,
            self.image,
            self.network,
            self.compute,
            self.volume,
            self.object_store,
            self.balancing,
        )
        self._switch: Switch | None = None
        self._server: HTTPServer | None = None

    async def start(self) -> None:
        """Start what runs; returns when the APIs answer. Servers that were active boot in the background."""
        await self.hypervisor.start()
        self._switch = Switch(self.hypervisor.owner, self.site.port_offset, self.hypervisor.console)
        with self.site.store.transaction():
            for service in self.services:
                service.setup()
        admin = Admin(self.site, self.identity, self._switch, self.compute.exists)
        routes: list[Any] = [(r"/.*", Gateway, {"services": (*self.services, admin)})]
        application = Application(routes, log_function=lambda handler: None, compress_response=False)
        self._server = HTTPServer(application, max_buffer_size=4 << 20, max_body_size=MAX_JSON_BYTES)
        self._server.add_sockets(self._sockets)
        self.metadata.start()
        self.site.running = True
        self._write_clouds()
        self.compute.life.resume()
        self.volume.life.resume()
        self.network.begin(self._switch)
        self.balancing.begin(self._switch)

    async def stop(self) -> None:
        """Stop everything; no process is left then. May be called after a start that failed, too."""
        self.site.running = False
        if self._server is not None:
            self._server.stop()
            await self.compute.life.close()
            await self.volume.life.close()
            await self._server.close_all_connections()
            await self.metadata.stop()
        for each in self._sockets:
            each.close()
        await self.balancing.close()
        if self._switch is not None:
            await self._switch.close()
        self.object_store.close()
        await self.hypervisor.close()
        self._claim.close()
        self.site.store.close()

    def _write_clouds(self) -> None:
        """Write clouds.yaml: a cloud for each user; the first is the one that everybody means."""
        clouds = {}
        directory = self.identity.directory
        for number, who in enumerate((*PROJECTS, ADMIN)):
            user = directory.users[id_of("user", who)]
            project = directory.projects[user["project_id"]]["name"]
            clouds[f"embedded-{who}" if number else "embedded"] = {
                "auth": {
                    "auth_url": f"{self.site.url}/identity",
                    "username": user["name"],
                    "password": user["password"],
                    "project_name": project,
                    "user_domain_name": DOMAIN["name"],
                    "project_domain_name": DOMAIN["name"],
                },
                "region_name": REGION,
                "identity_api_version": 3,
                "faafo_lab": {
                    "published_ports": {"offset": self.site.port_offset},
                    "admin_token": str(self.site.directory / TOKEN_FILE),
                },
            }
        head = "# Written by faafo-lab's embedded cloud at each start. Keep it private: it contains passwords.\n"
        client = {"force_ipv4": True}  # otherwise shade asks netifaces2, and does not understand its answer
        text = yaml.safe_dump({"client": client, "clouds": clouds}, sort_keys=False)
        durable.write_private(self.site.directory / "clouds.yaml", head + text)


def _claim_addresses(before: Row, wanted: int | None) -> tuple[Claim, list[socket.socket]]:
    """The addresses and the port of last time or, where they are taken, others. Raises `AddressError`."""
    if wanted is not None and not 0 < wanted < 1 << 16:
        raise AddressError(f"{wanted} is not a port: give one from 1 to 65535.")
    claim = Claim.take(before.get("number"))
    host = f"127.{claim.number}.0.1"
    ports = [wanted] if wanted else [*filter(None, [before.get("port")]), DEFAULT_PORT, 0]
    for port in ports:
        try:
            return claim, bind_sockets(port, host, family=socket.AF_INET)
        except OSError as error:
            if error.errno not in (errno.EADDRINUSE, errno.EACCES) or port == ports[-1]:
                claim.close()
                refused = f"Port {port} may not be used by this user: choose one above 1023."
                taken = f"Port {port} on {host} is taken: choose another one, or let the embedded cloud choose."
                raise AddressError(refused if error.errno == errno.EACCES else taken) from error
    raise AssertionError("the last port has been bound, or has raised")


def _move(store: Store, before: int | None, number: int) -> None:
    """Where another emulator has taken last time's addresses, everything moves to the new ones."""
    if before is None or before == number:
        return
    old, new = f"127.{before}.", f"127.{number}."
    log.warning("The addresses %s0.0/16 are taken: this cloud moves to %s0.0/16.", old, new)
    with store.transaction():
        for kind, fields in ((kind, fields) for each in SERVICES for kind, fields in each.ADDRESSES.items()):
            table = store.table(kind)
            for row in table:
                table.update(row["id"], **{name: _replaced(row[name], old, new) for name in fields if name in row})


def check_quotas(quotas: Mapping[str, int]) -> None:
    """Check names and values of quotas. Raises `EmulatorError`."""
    names = {name for each in SERVICES for name in each.QUOTAS}
    for name, value in quotas.items():
        if name not in names:
            raise EmulatorError(f"There is no quota {name!r}: the names are {', '.join(sorted(names))}.")
        if value < -1:
            raise EmulatorError(f"The quota {name} cannot be {value}: give 0 or more, or -1 for no limit.")


def _replaced(value: object, old: str, new: str) -> object:
    """The value with the beginning of every address in it replaced."""
    if isinstance(value, str):
        return new + value[len(old) :] if value.startswith(old) else value
    if isinstance(value, list):
        return [_replaced(item, old, new) for item in value]
    if isinstance(value, dict):
        return {name: _replaced(item, old, new) for name, item in value.items()}
    return value
