"""The topology that a project is given for the asking: a network, a subnet of the default pool, and a router outside.

Source: https://docs.openstack.org/api-ref/network/v2/#auto-allocated-topologies
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from faafo_lab.cloud.emulator.common.service import JSON, Answer, Request, route
from faafo_lab.cloud.emulator.common.store import Row, Table
from faafo_lab.cloud.emulator.services.network.words import refused

if TYPE_CHECKING:
    from faafo_lab.cloud.emulator.services.network.api import Network

NAME = "auto_allocated_topology"
DRY_RUN = "dry-run"


class Topologies:
    """The topologies: one a project, whose id is its network's."""

    def __init__(self, network: Network) -> None:
        self._network = network
        self._table: Table[Row] = network.store.table(NAME)  # by project

    def _check_owner(self, request: Request, project: str) -> None:
        """Raises a 403 `Fault` for another project."""
        if project not in (request.project, "None"):  # which clients write that name no project
            raise refused("PolicyNotAuthorized", f"rule:get_{NAME}")

    def _found(self, project: str) -> Row | None:
        """The project's topology, as long as its network is there."""
        row = self._table.get(project)
        return row if row is not None and row["network_id"] in self._network.networks.table else None

    def ensure(self, request: Request) -> str:
        """The id of the network of the project's topology, which is made where it is missing. Raises a `Fault`."""
        return str((self._found(request.project) or self._make(request))["network_id"])

    @route("GET", "/v2.0/auto-allocated-topology/{project}")
    def show(self, request: Request, project: str) -> JSON:
        """The project's topology, which is made where it is missing; with `fields=dry-run`, whether it can be."""
        self._check_owner(request, project)
        fields = request.query.get("fields")
        if fields not in (None, [DRY_RUN]):
            raise refused("BadRequest", "auto_allocate", "Unrecognized field")
        if fields:
            self._outside()
        id = f"{DRY_RUN}=pass" if fields else self.ensure(request)
        return {NAME: {"id": id, "tenant_id": request.project}}

    @route("DELETE", "/v2.0/auto-allocated-topology/{project}")
    def delete(self, request: Request, project: str) -> Answer:
        """Delete the topology, all of it or nothing: nobody may be on its network."""
        self._check_owner(request, project)
        row, network = self._found(request.project), self._network
        with network.store.transaction():
            if row is not None:
                if (router := network.routers.table.get(row["router_id"])) is not None:
                    for port in network.routers.interfaces(router["id"]):
                        network.routers.disconnect(router, port)
                    network.routers.delete(request, router["id"])
                network.networks.delete(request, row["network_id"])
            self._table.delete(request.project)
        return Answer(204)

    def _outside(self) -> Row:
        """The external network; there has to be a pool, too. Raises a 409 `Fault`."""
        outside = self._network.networks.table.where(**{"router:external": True, "is_default": True})
        if not outside or not self._network.subnet_pools.table.where(is_default=True):
            missing = "No default router:external network" if not outside else "No default subnetpools defined"
            raise refused("AutoAllocationFailure", missing)
        return outside[0]

    def _make(self, request: Request) -> Row:
        network, gateway = self._network, {"network_id": self._outside()["id"]}
        with network.store.transaction():
            made = network.networks.make(request, {"name": "auto_allocated_network"})
            wanted = {"name": "auto_allocated_subnet_v4", "network_id": made["id"], "ip_version": 4}
            subnet = network.subnets.make(request, {**wanted, "use_default_subnetpool": True})
            wanted = {"name": "auto_allocated_router", "external_gateway_info": gateway}
            router = network.routers.make(request, wanted)
            network.routers.connect(router, subnet)
            row: Row = {"id": request.project, "network_id": made["id"], "router_id": router["id"]}
            return self._table.put(row)
