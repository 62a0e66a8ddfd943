"""Routers: between a project's networks and the external one.

A router's gateway is a port of nobody's on the external network; its interfaces are its ports on the project's.
Source: https://docs.openstack.org/api-ref/network/v2/#routers-routers
"""

from __future__ import annotations

import ipaddress
from collections.abc import Mapping
from typing import ClassVar

from faafo_lab.cloud.emulator.common.service import JSON, Fault, Request, route
from faafo_lab.cloud.emulator.common.store import Row
from faafo_lab.cloud.emulator.services.network import checks
from faafo_lab.cloud.emulator.services.network.base import Collection
from faafo_lab.cloud.emulator.services.network.checks import NAMED, Attribute
from faafo_lab.cloud.emulator.services.network.ports import new_mac
from faafo_lab.cloud.emulator.services.network.words import invalid, refused

GATEWAY, INTERFACE = "network:router_gateway", "network:router_interface"  # the owners of its ports
MAX_ROUTES = 30


class Routers(Collection):
    """Routers: between a project's networks and the external one."""

    name, plural, title = "router", "routers", "Router"
    also = ("status", "flavor_id")
    addressed = ("external_gateway_info", "routes")
    attributes: ClassVar[Mapping[str, Attribute]] = {
        **NAMED,
        "admin_state_up": Attribute(checks.boolean, True),
        "external_gateway_info": Attribute(checks.optional(checks.mapping), None),
        "routes": Attribute(checks.several(checks.static_route, MAX_ROUTES), [], post=False),
        "availability_zone_hints": Attribute(checks.each(checks.text()), [], put=False),
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
            raise refused("RouterInUse", row["id"])
        self._unplug(row)

    # Its ports

    def port(self, router: Row, owner: str, network: str, fixed: list[JSON]) -> Row:
        """A new port of the router's."""
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
        return self.network.ports.table.put(self.port(router, INTERFACE, subnet["network_id"], fixed))

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
            raise refused("PolicyNotAuthorized", "rule:update_router:external_gateway_info:enable_snat")
        network = self.network.networks.find(request, str(info.get("network_id")))
        if not network["router:external"]:
            raise _bad(f"Network {network['id']} is not an external network")
        try:
            wanted = checks.optional(checks.each(checks.mapping))(info.get("external_fixed_ips"))
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

    # Interfaces

    @route("PUT", "/v2.0/routers/{id}/add_router_interface")
    def add_interface(self, request: Request, id: str) -> JSON:
        """Connect a router to a subnet.

        At its gateway address, or by a port at the port's. Raises a `Fault`.
        """
        router = self.own(request, id)
        subnet, port = self._meant(request)
        if port is None:
            assert subnet is not None
            self._check_subnets(router, [subnet])
            if subnet["gateway_ip"] is None:
                raise _bad(f"Subnet for router interface must have a gateway IP: {subnet['id']}")
            if subnet["gateway_ip"] in self.network.taken(subnet["network_id"]):
                raise refused("IpAddressInUse", subnet["network_id"], subnet["gateway_ip"])
            self.network.quotas.claim(router["project_id"], {"port": 1})
            return _interface(router, self.connect(router, subnet))
        if port["device_id"]:
            raise refused("PortInUse", port["id"], port["network_id"], port["device_id"])
        if not port["fixed_ips"]:
            raise _bad("Router port must have at least one fixed IP")
        subnets = self.network.subnets.table
        self._check_subnets(router, [subnets[ip["subnet_id"]] for ip in port["fixed_ips"]])
        owned = {"device_id": id, "device_owner": INTERFACE, "security_groups": [], "status": "ACTIVE"}
        return _interface(router, self.network.ports.touch(port["id"], **owned))

    @route("PUT", "/v2.0/routers/{id}/remove_router_interface")
    def remove_interface(self, request: Request, id: str) -> JSON:
        """Take a router off a subnet.

        The port that connected it goes. Raises a `Fault`.
        """
        router = self.own(request, id)
        subnet, port = self._meant(request)
        if port is not None and port["device_id"] != id:
            raise refused("RouterInterfaceNotFound", id, port["id"])
        if subnet is not None:
            mine = [each for each in self.interfaces(id) if subnet["id"] in _subnets(each)]
            if port is not None and port not in mine:
                raise refused("SubnetMismatchForPort", port["id"], subnet["id"])
            if not mine:
                raise refused("RouterInterfaceNotFoundForSubnet", id, subnet["id"])
            port = port or mine[0]
        assert port is not None
        self.disconnect(router, port)
        return _interface(router, port)

    def disconnect(self, router: Row, port: Row) -> None:
        """Remove an interface. Raises a 409 `Fault` where something needs it."""
        for subnet_id in _subnets(port):
            self.unused(router, self.network.subnets.table[subnet_id])
        self.network.ports.remove(port["id"])

    def _meant(self, request: Request) -> tuple[Row | None, Row | None]:
        """The subnet and the port that a request names: one of them at least. Raises a `Fault`."""
        body = request.parse()
        subnet_id, port_id = body.get("subnet_id"), body.get("port_id")
        for name, value in body.items():
            if not isinstance(value, str):
                raise invalid(name, f"'{value}' is not a valid UUID.")
        if subnet_id is None and port_id is None:
            raise _bad("Either subnet_id or port_id must be specified")
        if subnet_id is not None and port_id is not None and request.path.endswith("add_router_interface"):
            raise _bad("Cannot specify both subnet-id and port-id")
        subnet = None if subnet_id is None else self.network.subnets.find(request, subnet_id)
        port = None if port_id is None else self.network.ports.own(request, port_id)
        return subnet, port

    def _check_subnets(self, router: Row, wanted: list[Row]) -> None:
        """Check that the router has no interface to these subnets, nor to one that overlaps. Raises a 400 `Fault`."""
        subnets = self.network.subnets.table
        for other in (subnets[id] for port in self.interfaces(router["id"]) for id in _subnets(port)):
            for subnet in wanted:
                if subnet["id"] == other["id"]:
                    raise _bad(f"Router already has a port on subnet {subnet['id']}")
                if ipaddress.ip_network(subnet["cidr"]).overlaps(ipaddress.ip_network(other["cidr"])):
                    one, two = (f"cidr {each['cidr']} of subnet {each['id']}" for each in (subnet, other))
                    raise _bad(f"C{one[1:]} overlaps with {two}")

    # Routes, one by one

    @route("PUT", "/v2.0/routers/{id}/add_extraroutes")
    @route("PUT", "/v2.0/routers/{id}/remove_extraroutes")
    def change_routes(self, request: Request, id: str) -> JSON:
        """Add routes to a router, or remove some: either way it may be done already. Raises a `Fault`."""
        row = self.own(request, id)
        item = request.parse().get("router")
        changed = self._checked(item if isinstance(item, dict) else {}, request, new=False).get("routes")
        if changed is None:
            raise refused("HTTPBadRequest", "Resource body required: it must have 'router' with 'routes'.")
        kept = [had for had in row["routes"] if had not in changed]
        if request.path.endswith("/add_extraroutes"):
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
            raise refused("InvalidRoutes", route, reason)

    def unused(self, router: Row, subnet: Row | None = None) -> None:
        """Check that nothing needs the router's gateway, or its interface to a subnet. Raises a 409 `Fault`."""
        floating = self.network.floating_ips.table.where(router_id=router["id"])
        if subnet is None:
            if floating:
                raise refused("RouterExternalGatewayInUseByFloatingIp", router["id"])
            return
        block, here = ipaddress.ip_network(subnet["cidr"]), (subnet["id"], router["id"])
        if any(ipaddress.ip_address(row["fixed_ip_address"]) in block for row in floating):
            raise refused("RouterInterfaceInUseByFloatingIP", *here, "floating IPs")
        if any(ipaddress.ip_address(each["nexthop"]) in block for each in router["routes"]):
            raise refused("RouterInterfaceInUseByRoute", *here, "routes")


def _bad(reason: str) -> Fault:
    return refused("BadRequest", "router", reason)


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
