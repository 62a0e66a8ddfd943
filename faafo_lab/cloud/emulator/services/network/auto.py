"""The network that a project is given with all that belongs to it, when it first asks for one.

Source: https://docs.openstack.org/api-ref/network/v2/#auto-allocated-topologies
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from faafo_lab.cloud.emulator.common.service import JSON, Answer, Request, route
from faafo_lab.cloud.emulator.services.network.words import refused

if TYPE_CHECKING:
    from faafo_lab.cloud.emulator.services.network.api import Network


class AutoAllocated:
    """A network with a subnet, behind a router to the outside."""

    def __init__(self, network: Network) -> None:
        self._network = network
        self._table = network.store.table("auto_allocated_topology")

    def _owner(self, request: Request, project: str) -> str:
        """The project that is meant. Raises a 404 `Fault` where it is not the client's own."""
        if project not in ("None", request.project) and not request.admin:
            raise refused("HTTPNotFound", "The resource could not be found.")
        return request.project if project == "None" else project

    @route("GET", "/v2.0/auto-allocated-topology/{project}")
    def show(self, request: Request, project: str) -> JSON:
        """The project's network; it is made where it is missing."""
        network, project = self._network, self._owner(request, project)
        known = self._table.get(project)
        if "fields" in request.query:  # what is only asked is whether it could be made: it could
            return {"auto_allocated_topology": {"id": "dry-run=pass", "tenant_id": project}}
        if known is None or known["network_id"] not in network.networks.table:
            with network.store.transaction():
                made = network.networks.make(request, {"name": "auto_allocated_network"})
                values = {"network_id": made["id"], "ip_version": 4, "use_default_subnetpool": True}
                subnet = network.subnets.make(request, {**values, "name": "auto_allocated_subnet_v4"})
                gateway = {"network_id": network.networks.table.where(is_default=True)[0]["id"]}
                values = {"name": "auto_allocated_router", "external_gateway_info": gateway}
                router = network.routers.make(request, values)
                network.routers.connect(router, subnet)
                known = self._table.put({"id": project, "network_id": made["id"], "router_id": router["id"]})
        return {"auto_allocated_topology": {"id": known["network_id"], "tenant_id": project}}

    @route("DELETE", "/v2.0/auto-allocated-topology/{project}")
    def delete(self, request: Request, project: str) -> Answer:
        """Delete the network, and its router."""
        network, project = self._network, self._owner(request, project)
        known = self._table.get(project)
        with network.store.transaction():
            if known is not None and (router := network.routers.get(known["router_id"])) is not None:
                for port in network.routers.interfaces(router["id"]):
                    network.routers.disconnect(router, port)
                network.routers.delete(request, router["id"])
            if known is not None and known["network_id"] in network.networks.table:
                network.networks.delete(request, known["network_id"])
            self._table.delete(project)
        return Answer(204)
