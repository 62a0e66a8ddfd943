"""Routers: between a project's networks and the external one.

A router's gateway is a port of nobody's on the external network; `router_interfaces` connects it to the project's.
Source: https://docs.openstack.org/api-ref/network/v2/#routers-routers
"""

from __future__ import annotations

import ipaddress
from collections.abc import Mapping
from typing import ClassVar

from faafo_lab.cloud.emulator.common.service import JSON, Fault, Request, route
from faafo_lab.cloud.emulator.common.store import Row
from faafo_lab.cloud.emulator.services.network.attributes import Attribute, boolean, each, mapping, optional, text
from faafo_lab.cloud.emulator.services.network.base import invalid
from faafo_lab.cloud.emulator.services.network.ports import new_mac
from faafo_lab.cloud.emulator.services.network.router_interfaces import Interfaces
from faafo_lab.cloud.emulator.services.network.subnets import routes

GATEWAY = "network:router_gateway"  # the owner of its port there
MAX_ROUTES = 30


class Routers(Interfaces):
    """Routers: between a project's networks and the external one."""

    addressed = ("external_gateway_info", "routes")
    attributes: ClassVar[Mapping[str, Attribute]] = {
        "name": Attribute(text(), ""),
        "description": Attribute(text(), ""),
        "admin_state_up": Attribute(boolean, True),
        "external_gateway_info": Attribute(optional(mapping), None),
        "routes": Attribute(routes(MAX_ROUTES), [], post=False),
        "availability_zone_hints": Attribute(each(text()), [], put=False),
    }

    def creating(self, request: Request, row: Row) -> Row:
        """The gateway must be an external network."""
        return {**row, "status": "ACTIVE", "external_gateway_info": self._gateway(request, row, row)}

    def updating(self, request: Request, row: Row, changes: JSON) -> JSON:
        """A gateway that floating IPs need stays; routes go by a neighbour."""
        if "external_gateway_info" in changes:
            before = row["external_gateway_info"] or {}
            if (changes["external_gateway_info"] or {}).get("network_id") != before.get("network_id"):
                self.unused(row)
            changes["external_gateway_info"] = self._gateway(request, row, changes)
        for wanted in changes.get("routes", ()):
            self._check_route(row, wanted)
        return changes

    def view(self, row: Row) -> JSON:
        """As Neutron shows it."""
        return {**row, "availability_zones": ["nova"], "flavor_id": None}

    def deleting(self, row: Row) -> None:
        """Only a router without interfaces; its gateway goes with it."""
        if self.interfaces(row["id"]):
            raise Fault(409, f"Router {row['id']} still has ports", type="RouterInUse")
        self._unplug(row)

    # The gateway

    def _gateway(self, request: Request, router: Row, values: JSON) -> JSON | None:
        """What the router shows of its gateway, plugged in as it is asked for. Raises a `Fault`."""
        info = values["external_gateway_info"]
        if not info:
            self._unplug(router)
            return None
        for name in set(info) - {"network_id", "enable_snat", "external_fixed_ips"}:
            raise invalid("external_gateway_info", f"'{name}' is not one of its keys.")
        if info.get("enable_snat") is False:
            reason = "rule:update_router:external_gateway_info:enable_snat is disallowed by policy"
            raise Fault(403, reason, type="PolicyNotAuthorized")
        network = self.network.networks.find(request, str(info.get("network_id")))
        if not network["router:external"]:
            raise Fault(
                400,
                f"Bad router request: Network {network['id']} is not an external network.",
                type="BadRequest",
            )
        try:
            wanted = optional(each(mapping))(info.get("external_fixed_ips"))
        except ValueError as error:
            raise invalid("external_gateway_info", str(error)) from None
        before = router["external_gateway_info"] or {}
        if wanted is None and before.get("network_id") == network["id"] and self._gateway_ports(router):
            return dict(before)
        self._unplug(router)
        return self.plug(router, network, wanted or [{}])

    def plug(self, router: Row, network: Row, wanted: list[JSON]) -> JSON:
        """Give the router a port on the external network; returns what the router shows of it."""
        mac = new_mac()
        fixed = self.network.ports.addresses(network, wanted, mac)
        port = self.port(router, GATEWAY, network["id"], fixed)
        self.network.ports.table.put({**port, "project_id": "", "tenant_id": "", "mac_address": mac})
        return {"network_id": network["id"], "enable_snat": True, "external_fixed_ips": fixed}

    def _gateway_ports(self, router: Row) -> list[Row]:
        return self.network.ports.table.where(device_id=router["id"], device_owner=GATEWAY)

    def _unplug(self, router: Row) -> None:
        for port in self._gateway_ports(router):
            self.network.ports.table.delete(port["id"])

    # Routes, one by one

    @route("PUT", "/v2.0/routers/{id}/add_extraroutes")
    def add_routes(self, request: Request, id: str) -> JSON:
        """Add routes to a router."""
        return self._change_routes(request, id, add=True)

    @route("PUT", "/v2.0/routers/{id}/remove_extraroutes")
    def remove_routes(self, request: Request, id: str) -> JSON:
        """Remove routes from a router."""
        return self._change_routes(request, id, add=False)

    def _change_routes(self, request: Request, id: str, *, add: bool) -> JSON:
        """Add routes to those that there are, or remove some: either way it may be done already. Raises a `Fault`."""
        row = self.own(request, id)
        item = request.parse().get("router")
        changed = self._checked(item if isinstance(item, dict) else {}, request, new=False).get("routes")
        if changed is None:
            raise Fault(400, "Resource body required: it must have 'router' with 'routes'.", type="HTTPBadRequest")
        kept = [had for had in row["routes"] if had not in changed]
        if add:
            kept += changed
            for one in changed:
                self._check_route(row, one)
            if len(kept) > MAX_ROUTES:
                raise invalid("routes", f"At most {MAX_ROUTES} routes are allowed.")
        return {"router": self.view(self.touch(id, routes=kept))}

    # What needs a router

    def _blocks(self, router: Row) -> list[tuple[ipaddress.IPv4Network | ipaddress.IPv6Network, str]]:
        """The blocks that the router is connected to, with its own address in each."""
        subnets = self.network.subnets.table
        ports = [*self.interfaces(router["id"]), *self._gateway_ports(router)]
        return [
            (ipaddress.ip_network(subnets[ip["subnet_id"]]["cidr"]), ip["ip_address"])
            for port in ports
            for ip in port["fixed_ips"]
        ]

    def _check_route(self, router: Row, route: JSON) -> None:
        hop = ipaddress.ip_address(route["nexthop"])
        blocks = self._blocks(router)
        reason = ""
        if not any(hop in block for block, _ in blocks):
            reason = "the nexthop is not connected with router"
        elif any(route["nexthop"] == own for _, own in blocks):
            reason = "the nexthop is used by router"
        if reason:
            raise Fault(400, f"Invalid format for routes: {route}, {reason}", type="InvalidRoutes")

    def unused(self, router: Row, subnet: Row | None = None) -> None:
        """Check that nothing needs the router's gateway, or its interface to a subnet. Raises a 409 `Fault`."""
        block = ipaddress.ip_network(subnet["cidr"]) if subnet else None
        for row in self.network.floating_ips.table.where(router_id=router["id"]):
            if block is None:
                raise Fault(
                    409,
                    f"Gateway cannot be updated for router {router['id']}, since a gateway to external network is "
                    "required by one or more floating IPs.",
                    type="RouterExternalGatewayInUseByFloatingIp",
                )
            if ipaddress.ip_address(row["fixed_ip_address"]) in block:
                raise self._needed(router, subnet, "floating IPs", "RouterInterfaceInUseByFloatingIP")
        for each_route in router["routes"]:
            if block is not None and ipaddress.ip_address(each_route["nexthop"]) in block:
                raise self._needed(router, subnet, "routes", "RouterInterfaceInUseByRoute")

    def _needed(self, router: Row, subnet: Row | None, what: str, type: str) -> Fault:
        return Fault(
            409,
            f"Router interface for subnet {subnet and subnet['id']} on router {router['id']} cannot be "
            f"deleted, as it is required by one or more {what}.",
            type=type,
        )
