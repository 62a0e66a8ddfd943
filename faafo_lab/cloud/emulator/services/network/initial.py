"""The networks that every embedded cloud starts with.

127.N.1.0/24, 127.N.3.0/24   private     the projects demo and alt, each behind a router
127.N.2.0/24                 public      external: floating IPs and the routers' gateways
127.N.64.0/18                loopback    the subnet pool that projects cut subnets of their own from
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from faafo_lab.cloud.emulator.addresses import PUBLIC_OCTET
from faafo_lab.cloud.emulator.common.names import PROJECTS, id_of
from faafo_lab.cloud.emulator.common.store import Row

if TYPE_CHECKING:
    from faafo_lab.cloud.emulator.services.network.api import Network

PRIVATE_OCTETS = (1, 3)
POOL_OCTET = 64


def make(service: Network) -> None:
    """Make them where they are missing. In a transaction."""
    owner = id_of("project", "service")
    if not len(service.subnet_pools.table):
        _pool(service, owner)
    if len(service.networks.table):
        return
    public = _network(service, owner, "public", external=True)
    _subnet(service, public, "public-subnet", PUBLIC_OCTET)
    for name, octet in zip(PROJECTS, PRIVATE_OCTETS, strict=True):
        project = id_of("project", name)
        subnet = _subnet(service, _network(service, project, "private"), "private-subnet", octet)
        router = service.routers.new(project, {**service.routers.defaults(), "name": "router", "status": "ACTIVE"})
        gateway = service.routers.plug(router, public, [{}])
        service.routers.connect(service.routers.table.put({**router, "external_gateway_info": gateway}), subnet)
        service.groups.default(project)


def _network(service: Network, project: str, name: str, *, external: bool = False) -> Row:
    values = {**service.networks.defaults(), "name": name, "router:external": external}
    extra = {"is_default": True} if external else {}
    return service.networks.table.put({**service.networks.new(project, values), "status": "ACTIVE", **extra})


def _subnet(service: Network, network: Row, name: str, octet: int) -> Row:
    block = service.site.block(octet)
    fields = {
        **service.subnets.defaults(),
        "name": name,
        "network_id": network["id"],
        "ip_version": 4,
        "cidr": f"{block}.0/24",
        "gateway_ip": f"{block}.1",
        "allocation_pools": [{"start": f"{block}.2", "end": f"{block}.254"}],
    }
    return service.subnets.table.put(service.subnets.new(network["project_id"], fields))


def _pool(service: Network, project: str) -> None:
    fields = {
        **service.subnet_pools.defaults(),
        "name": "loopback",
        "description": "Addresses of this machine: what has one of them can be reached.",
        "prefixes": [f"{service.site.block(POOL_OCTET)}.0/18"],
        "default_prefixlen": 24,
        "shared": True,
        "is_default": True,
    }
    service.subnet_pools.table.put(service.subnet_pools.bounded(service.subnet_pools.new(project, fields)))
