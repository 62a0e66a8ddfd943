"""The emulator's process: one HTTP server for all services, the switch, and the hypervisor behind them."""

from __future__ import annotations

import errno
import logging
import os
import socket
from collections.abc import Mapping
from pathlib import Path

import yaml
from tornado.httpserver import HTTPServer
from tornado.netutil import bind_sockets
from tornado.web import Application

from faafo_lab.cloud.emulator.addresses import Claim, port_offset
from faafo_lab.cloud.emulator.common.names import DOMAIN, PROJECTS, REGION, id_of
from faafo_lab.cloud.emulator.common.service import MAX_JSON_BYTES, Service
from faafo_lab.cloud.emulator.common.store import Store
from faafo_lab.cloud.emulator.errors import AddressError, EmulatorError
from faafo_lab.cloud.emulator.gateway import Gateway
from faafo_lab.cloud.emulator.machinery.hypervisor.client import Hypervisor
from faafo_lab.cloud.emulator.machinery.metadata.api import Metadata
from faafo_lab.cloud.emulator.machinery.switch.plug import Plug
from faafo_lab.cloud.emulator.machinery.switch.switch import Switch
from faafo_lab.cloud.emulator.services.block_storage.api import Volume
from faafo_lab.cloud.emulator.services.block_storage.base import QUOTAS as VOLUME_QUOTAS
from faafo_lab.cloud.emulator.services.compute.api import Compute
from faafo_lab.cloud.emulator.services.compute.base import QUOTAS as COMPUTE_QUOTAS
from faafo_lab.cloud.emulator.services.identity.api import Identity
from faafo_lab.cloud.emulator.services.image.api import Image
from faafo_lab.cloud.emulator.services.load_balancer.api import LoadBalancing
from faafo_lab.cloud.emulator.services.load_balancer.parts import QUOTAS as BALANCING_QUOTAS
from faafo_lab.cloud.emulator.services.network.api import QUOTAS as NETWORK_QUOTAS
from faafo_lab.cloud.emulator.services.network.api import Network
from faafo_lab.cloud.emulator.services.object_store.accounts import QUOTAS as OBJECT_QUOTAS
from faafo_lab.cloud.emulator.services.object_store.api import ObjectStore

log = logging.getLogger(__name__)

DEFAULT_PORT = 5000  # Keystone's; the address is the cloud's own, so it is seldom taken
QUOTA_NAMES = frozenset((*COMPUTE_QUOTAS, *NETWORK_QUOTAS, *VOLUME_QUOTAS, *OBJECT_QUOTAS, *BALANCING_QUOTAS))
WITH_ADDRESSES = (
    *("subnet", "subnetpool", "port", "router", "floatingip", "security_group_rule"),
    *("load_balancer", "listener", "member"),
)
ADDRESSES = (  # the fields of those that name addresses of the cloud's own
    *("cidr", "gateway_ip", "allocation_pools", "fixed_ips", "floating_ip_address", "fixed_ip_address"),
    *("prefixes", "external_gateway_info", "routes", "host_routes", "allowed_address_pairs"),
    *("remote_ip_prefix", "normalized_cidr", "vip_address", "address", "monitor_address", "allowed_cidrs"),
)


class Emulator:
    """An embedded cloud: its state, its services, and what runs behind them."""

    def __init__(self, directory: Path, *, port: int | None = None, quotas: Mapping[str, int] | None = None) -> None:
        """Read the state in `directory`, which is locked by the caller (see `control`). Raises `EmulatorError`."""
        self.directory = directory
        self.name = directory.name
        self.quotas = dict(quotas or {})
        self.running = False
        self.store = Store(directory / "state.sqlite")
        self._wanted_port = port
        self._settings = self.store.table("setting")
        self._sockets: list[socket.socket] = []
        self._claim_addresses()
        self.port_offset = port_offset()
        self.hypervisor = Hypervisor(directory, self._exited)
        self.identity = Identity(self)
        self.image = Image(self)
        self.network = Network(self)
        self.compute = Compute(self)
        self.volume = Volume(self)
        self.object_store = ObjectStore(self)
        self.balancing = LoadBalancing(self)
        self.metadata = Metadata(self)
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

    # Addresses

    def _claim_addresses(self) -> None:
        """Take the addresses and the port of last time, or, where they are taken, others."""
        before = self._settings.get("address") or {}
        if self._wanted_port is not None and not 0 < self._wanted_port < 1 << 16:
            raise AddressError(f"{self._wanted_port} is not a port: give one from 1 to 65535.")
        self._claim = Claim.take(before.get("number"))
        ports = [self._wanted_port] if self._wanted_port else [*filter(None, [before.get("port")]), DEFAULT_PORT, 0]
        for port in ports:
            try:
                self._sockets = bind_sockets(port, self.host, family=socket.AF_INET)
                break
            except OSError as error:
                if error.errno not in (errno.EADDRINUSE, errno.EACCES) or port == ports[-1]:
                    self._claim.close()
                    raise AddressError(_cannot_listen(self.host, port, error)) from error
        self.port = self._sockets[0].getsockname()[1]
        self._move(before.get("number"))
        self._settings.put({"id": "address", "number": self._claim.number, "port": self.port})

    def _move(self, before: int | None) -> None:
        """Where another emulator has taken last time's addresses, everything moves to the new ones."""
        if before is None or before == self._claim.number:
            return
        old, new = f"127.{before}.", f"127.{self._claim.number}."
        log.warning("The addresses %s0.0/16 are taken: this cloud moves to %s0.0/16.", old, new)
        with self.store.transaction():
            for kind in WITH_ADDRESSES:
                table = self.store.table(kind)
                for row in table:
                    moved = {name: _replaced(row[name], old, new) for name in ADDRESSES if name in row}
                    table.update(row["id"], **moved)

    @property
    def host(self) -> str:
        """The address of the APIs."""
        return f"127.{self._claim.number}.0.1"

    @property
    def url(self) -> str:
        """The root of all APIs."""
        return f"http://{self.host}:{self.port}"

    @property
    def cidr(self) -> str:
        """All of the cloud's addresses."""
        return f"127.{self._claim.number}.0.0/16"

    def block(self, octet: int) -> str:
        """The first three numbers of one of the cloud's /24 blocks."""
        return f"127.{self._claim.number}.{octet}"

    # Start and stop

    async def start(self) -> None:
        """Start what runs; returns when the APIs answer. Servers that were active boot in the background."""
        await self.hypervisor.start()
        self._switch = Switch(self.hypervisor.owner, self.port_offset, self.hypervisor.console)
        with self.store.transaction():
            for service in self.services:
                service.setup()
        application = Application(
            [(r"/.*", Gateway, {"cloud": self})], log_function=lambda handler: None, compress_response=False
        )
        self._server = HTTPServer(application, max_buffer_size=4 << 20, max_body_size=MAX_JSON_BYTES)
        self._server.add_sockets(self._sockets)
        self.metadata.start()
        self.running = True
        self._write_clouds()
        self.compute.life.resume()
        self.volume.life.resume()
        self.network.apply()
        self.balancing.begin(self._switch)

    async def stop(self) -> None:
        """Stop everything; no process is left then. May be called after a start that failed, too."""
        self.running = False
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
        self.store.close()

    def _write_clouds(self) -> None:
        """Write clouds.yaml: a cloud for each project; the first is the one that everybody means."""
        clouds = {}
        for name, project in zip(("embedded", *(f"embedded-{each}" for each in PROJECTS[1:])), PROJECTS, strict=True):
            user = self.store.table("user")[id_of("user", project)]
            clouds[name] = {
                "auth": {
                    "auth_url": f"{self.url}/identity",
                    "username": user["name"],
                    "password": user["password"],
                    "project_name": project,
                    "user_domain_name": DOMAIN["name"],
                    "project_domain_name": DOMAIN["name"],
                },
                "region_name": REGION,
                "identity_api_version": 3,
                "faafo_lab": {"published_ports": {"offset": self.port_offset}},
            }
        path, partial = self.directory / "clouds.yaml", self.directory / "clouds.yaml.partial"
        partial.unlink(missing_ok=True)
        with os.fdopen(os.open(partial, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w", encoding="utf-8") as file:
            file.write(
                "# Written by faafo-lab's embedded cloud at each start. Keep it to yourself: it has passwords.\n"
            )
            client = {"force_ipv4": True}  # otherwise shade asks netifaces2, and does not understand its answer
            yaml.safe_dump({"client": client, "clouds": clouds}, file, sort_keys=False)
        partial.replace(path)

    # What the services need

    def ports_dir(self, server: str) -> Path:
        """The directory of an instance's sockets."""
        return self.hypervisor.ports_dir(server)

    def plug(self, plugs: Mapping[str, Plug]) -> None:
        """Tell the switch what should be."""
        if self.running and self._switch is not None:
            self._switch.apply(plugs)

    def _exited(self, server: str) -> None:
        self.compute.life.exited(server)


def check_quotas(quotas: Mapping[str, int]) -> None:
    """Check names and values of quotas. Raises `EmulatorError`."""
    for name, value in quotas.items():
        if name not in QUOTA_NAMES:
            raise EmulatorError(f"There is no quota {name!r}: the names are {', '.join(sorted(QUOTA_NAMES))}.")
        if value < -1:
            raise EmulatorError(f"The quota {name} cannot be {value}: give 0 or more, or -1 for no limit.")


def _cannot_listen(host: str, port: int, error: OSError) -> str:
    if error.errno == errno.EACCES:
        return f"Port {port} may not be used by this user: choose one above 1023."
    return f"Port {port} on {host} is taken: choose another one, or let the embedded cloud choose."


def _replaced(value: object, old: str, new: str) -> object:
    """The value with the beginning of every address in it replaced."""
    if isinstance(value, str):
        return new + value[len(old) :] if value.startswith(old) else value
    if isinstance(value, list):
        return [_replaced(item, old, new) for item in value]
    if isinstance(value, dict):
        return {name: _replaced(item, old, new) for name, item in value.items()}
    return value
