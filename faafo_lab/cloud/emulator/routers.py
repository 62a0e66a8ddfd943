"""Routers: between a project's networks and the external one."""

from __future__ import annotations

import ipaddress
from collections.abc import Mapping
from typing import ClassVar

from faafo_lab.cloud.emulator.ports import new_mac
from faafo_lab.cloud.emulator.resources import (
    READ_ONLY,
    Attribute,
    Collection,
    boolean,
    each,
    mapping,
    optional,
    text,
)
from faafo_lab.cloud.emulator.service import JSON, Fault, Request
from faafo_lab.cloud.emulator.store import Row


class Routers(Collection):
    """Routers: between a project's networks and the external one."""

    name, plural, title = "router", "routers", "Router"
    attributes: ClassVar[Mapping[str, Attribute]] = {
        "name": Attribute(text(), ""),
        "description": Attribute(text(), ""),
        "admin_state_up": Attribute(boolean, True),
        "external_gateway_info": Attribute(optional(mapping), None),
        "routes": Attribute(READ_ONLY.check, [], post=False, put=False),
        "availability_zone_hints": Attribute(each(text()), [], put=False),
    }

    def creating(self, request: Request, row: Row) -> Row:
        """The gateway must be an external network."""
        return {**row, "status": "ACTIVE", **self._gateway(request, row)}

    def updating(self, request: Request, row: Row, changes: JSON) -> JSON:
        """The gateway must be an external network."""
        if "external_gateway_info" not in changes:
            return changes
        gateway = self._gateway(request, changes)
        if gateway["external_gateway_info"] != row["external_gateway_info"]:
            self._unused(row)
        return {**changes, **gateway}

    def _gateway(self, request: Request, values: JSON) -> JSON:
        info = values["external_gateway_info"]
        if not info:
            return {"external_gateway_info": None}
        network = self.network.networks.find(request, str(info.get("network_id")))
        if not network["router:external"]:
            raise Fault(
                400,
                f"Bad router request: Network {network['id']} is not an external network.",
                type="BadRequest",
            )
        return {"external_gateway_info": {"network_id": network["id"], "enable_snat": True, "external_fixed_ips": []}}

    def view(self, row: Row) -> JSON:
        """As Neutron shows it."""
        return {**row, "availability_zones": ["nova"], "flavor_id": None}

    def _unused(self, router: Row, subnet: Row | None = None) -> None:
        """Check that no floating IP needs the router, or its interface to a subnet. Raises a 409 `Fault`."""
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
                raise Fault(
                    409,
                    f"Router interface for subnet {subnet and subnet['id']} on router {router['id']} cannot be "
                    "deleted, as it is required by one or more floating IPs.",
                    type="RouterInterfaceInUseByFloatingIP",
                )

    def interfaces(self, id: str) -> list[Row]:
        """The router's ports."""
        return self.network.ports.table.where(device_id=id, device_owner="network:router_interface")

    def deleting(self, row: Row) -> None:
        """Only a router without interfaces."""
        if self.interfaces(row["id"]):
            raise Fault(409, f"Router {row['id']} still has ports", type="RouterInUse")

    def connect(self, router: Row, subnet: Row) -> Row:
        """Give the router the subnet's gateway address."""
        ports = self.network.ports
        values = {name: each.default for name, each in ports.attributes.items()}
        port = {
            **ports.new(router["project_id"], values),
            "network_id": subnet["network_id"],
            "mac_address": new_mac(),
            "fixed_ips": [{"subnet_id": subnet["id"], "ip_address": subnet["gateway_ip"]}],
            "device_id": router["id"],
            "device_owner": "network:router_interface",
            "security_groups": [],
            "port_security_enabled": False,
            "status": "ACTIVE",
        }
        return ports.table.put(port)

    def interface(self, request: Request, id: str, action: str) -> JSON:
        """Add or remove the router's interface to a subnet."""
        router = self.own(request, id)
        body = self.network.parse(request)
        subnet_id = body.get("subnet_id")
        if not isinstance(subnet_id, str):
            raise Fault(400, "Bad router request: Either subnet_id or port_id must be specified.", type="BadRequest")
        subnet = self.network.subnets.find(request, subnet_id)
        mine = [
            port for port in self.interfaces(id) if any(ip["subnet_id"] == subnet["id"] for ip in port["fixed_ips"])
        ]
        if action == "add":
            if mine:
                raise Fault(
                    400, f"Bad router request: Router already has a port on subnet {subnet['id']}.", type="BadRequest"
                )
            if subnet["gateway_ip"] is None or subnet["gateway_ip"] in self.network.taken():
                raise Fault(409, f"The gateway address of subnet {subnet['id']} is in use.", type="IpAddressInUse")
            port = self.connect(router, subnet)
        elif not mine:
            raise Fault(
                404,
                f"Router {id} has no interface on subnet {subnet['id']}",
                type="RouterInterfaceNotFoundForSubnet",
            )
        else:
            port = mine[0]
            self._unused(router, subnet)
            self.network.ports.remove(port["id"])
        return {
            "id": id,
            "tenant_id": router["project_id"],
            "project_id": router["project_id"],
            "port_id": port["id"],
            "network_id": port["network_id"],
            "subnet_id": subnet["id"],
            "subnet_ids": [subnet["id"]],
        }
