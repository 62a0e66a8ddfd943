"""Routers: between a project's networks and the external one.

A router's gateway is a port of nobody's on the external network; its interfaces are ports on the project's networks.
Source: https://docs.openstack.org/api-ref/network/v2/#routers-routers
"""

from __future__ import annotations

import ipaddress
from collections.abc import Mapping
from typing import ClassVar

from faafo_lab.cloud.emulator.ports import new_mac
from faafo_lab.cloud.emulator.resources import (
    Attribute,
    Collection,
    boolean,
    each,
    invalid,
    mapping,
    optional,
    text,
)
from faafo_lab.cloud.emulator.service import JSON, Fault, Request
from faafo_lab.cloud.emulator.store import Row
from faafo_lab.cloud.emulator.subnets import routes

GATEWAY, INTERFACE = "network:router_gateway", "network:router_interface"  # the owners of its ports
MAX_ROUTES = 30


class Routers(Collection):
    """Routers: between a project's networks and the external one."""

    name, plural, title = "router", "routers", "Router"
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
                self._unused(row)
            changes["external_gateway_info"] = self._gateway(request, row, changes)
        for route in changes.get("routes", ()):
            self._check_route(row, route)
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
        port = self._port(router, GATEWAY, network["id"], fixed)
        self.network.ports.table.put({**port, "project_id": "", "tenant_id": "", "mac_address": mac})
        return {"network_id": network["id"], "enable_snat": True, "external_fixed_ips": fixed}

    def _gateway_ports(self, router: Row) -> list[Row]:
        return self.network.ports.table.where(device_id=router["id"], device_owner=GATEWAY)

    def _unplug(self, router: Row) -> None:
        for port in self._gateway_ports(router):
            self.network.ports.table.delete(port["id"])

    # Interfaces

    def _port(self, router: Row, owner: str, network: str, fixed: list[JSON]) -> Row:
        ports = self.network.ports
        return {
            **ports.new(router["project_id"], ports.defaults()),
            "network_id": network,
            "mac_address": new_mac(),
            "fixed_ips": fixed,
            "device_id": router["id"],
            "device_owner": owner,
            "security_groups": [],
            "port_security_enabled": False,
            "status": "ACTIVE",
        }

    def interfaces(self, id: str) -> list[Row]:
        """The router's ports on the project's networks."""
        return self.network.ports.table.where(device_id=id, device_owner=INTERFACE)

    def connect(self, router: Row, subnet: Row) -> Row:
        """Give the router the subnet's gateway address."""
        fixed = [{"subnet_id": subnet["id"], "ip_address": subnet["gateway_ip"]}]
        return self.network.ports.table.put(self._port(router, INTERFACE, subnet["network_id"], fixed))

    def add_interface(self, request: Request, id: str) -> JSON:
        """Connect the router to a subnet at its gateway address, or by a port at the port's. Raises a `Fault`."""
        router = self.own(request, id)
        subnet, port = self._meant(request)
        if port is None:
            assert subnet is not None
            self._check_subnets(router, [subnet])
            if subnet["gateway_ip"] is None:
                reason = f"Bad router request: Subnet for router interface must have a gateway IP: {subnet['id']}."
                raise Fault(400, reason, type="BadRequest")
            if subnet["gateway_ip"] in self.network.taken(subnet["network_id"]):
                reason = (
                    f"Unable to complete operation for network {subnet['network_id']}. The IP address {{}} is in use."
                )
                raise Fault(409, reason.format(subnet["gateway_ip"]), type="IpAddressInUse")
            row = self._port(router, INTERFACE, subnet["network_id"], [])
            self.network.claim(self.network.ports, row)
            return _interface(router, self.connect(router, subnet))
        if port["device_id"]:
            reason = (
                f"Unable to complete operation on port {port['id']} for network {port['network_id']}. "
                f"Port already has an attached device {port['device_id']}."
            )
            raise Fault(409, reason, type="PortInUse")
        if not port["fixed_ips"]:
            raise Fault(400, "Bad router request: Router port must have at least one fixed IP.", type="BadRequest")
        subnets = self.network.subnets.table
        self._check_subnets(router, [subnets[ip["subnet_id"]] for ip in port["fixed_ips"]])
        owned = {"device_id": id, "device_owner": INTERFACE, "security_groups": [], "status": "ACTIVE"}
        return _interface(router, self.network.ports.touch(port["id"], **owned))

    def remove_interface(self, request: Request, id: str) -> JSON:
        """Take the router off a subnet; the port that connected it goes. Raises a `Fault`."""
        router = self.own(request, id)
        subnet, port = self._meant(request)
        if port is not None and port["device_id"] != id:
            reason = f"Router {id} does not have an interface with id {port['id']}"
            raise Fault(404, reason, type="RouterInterfaceNotFound")
        if subnet is not None:
            mine = [each for each in self.interfaces(id) if subnet["id"] in _subnets(each)]
            if port is not None and port not in mine:
                reason = f"Subnet on port {port['id']} does not match the requested subnet {subnet['id']}."
                raise Fault(400, reason, type="SubnetMismatchForPort")
            if not mine:
                reason = f"Router {id} has no interface on subnet {subnet['id']}"
                raise Fault(404, reason, type="RouterInterfaceNotFoundForSubnet")
            port = port or mine[0]
        assert port is not None
        for subnet_id in _subnets(port):
            self._unused(router, self.network.subnets.table[subnet_id])
        self.network.ports.remove(port["id"])
        return _interface(router, port)

    def _meant(self, request: Request) -> tuple[Row | None, Row | None]:
        """The subnet and the port that a request names: one of them at least. Raises a `Fault`."""
        body = self.network.parse(request)
        subnet_id, port_id = body.get("subnet_id"), body.get("port_id")
        for name, value in body.items():
            if not isinstance(value, str):
                raise invalid(name, f"'{value}' is not a valid UUID.")
        if subnet_id is None and port_id is None:
            raise Fault(400, "Bad router request: Either subnet_id or port_id must be specified.", type="BadRequest")
        if subnet_id is not None and port_id is not None and request.path.endswith("add_router_interface"):
            raise Fault(400, "Bad router request: Cannot specify both subnet-id and port-id.", type="BadRequest")
        subnet = None if subnet_id is None else self.network.subnets.find(request, subnet_id)
        port = None if port_id is None else self.network.ports.own(request, port_id)
        return subnet, port

    def _check_subnets(self, router: Row, wanted: list[Row]) -> None:
        """Check that the router has no interface to these subnets, nor to one that overlaps. Raises a 400 `Fault`."""
        for port in self.interfaces(router["id"]):
            for subnet_id in _subnets(port):
                other = self.network.subnets.table[subnet_id]
                for subnet in wanted:
                    if subnet["id"] == other["id"]:
                        reason = f"Bad router request: Router already has a port on subnet {subnet['id']}."
                        raise Fault(400, reason, type="BadRequest")
                    if ipaddress.ip_network(subnet["cidr"]).overlaps(ipaddress.ip_network(other["cidr"])):
                        reason = (
                            f"Bad router request: Cidr {subnet['cidr']} of subnet {subnet['id']} overlaps with "
                            f"cidr {other['cidr']} of subnet {other['id']}."
                        )
                        raise Fault(400, reason, type="BadRequest")

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

    def _unused(self, router: Row, subnet: Row | None = None) -> None:
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
        for route in router["routes"]:
            if block is not None and ipaddress.ip_address(route["nexthop"]) in block:
                raise self._needed(router, subnet, "routes", "RouterInterfaceInUseByRoute")

    def _needed(self, router: Row, subnet: Row | None, what: str, type: str) -> Fault:
        return Fault(
            409,
            f"Router interface for subnet {subnet and subnet['id']} on router {router['id']} cannot be "
            f"deleted, as it is required by one or more {what}.",
            type=type,
        )


def _subnets(port: Row) -> list[str]:
    return [ip["subnet_id"] for ip in port["fixed_ips"]]


def _interface(router: Row, port: Row) -> JSON:
    """What an interface's coming or going answers."""
    return {
        "id": router["id"],
        "tenant_id": router["project_id"],
        "project_id": router["project_id"],
        "port_id": port["id"],
        "network_id": port["network_id"],
        "subnet_id": _subnets(port)[0],
        "subnet_ids": _subnets(port),
    }
