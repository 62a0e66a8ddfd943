"""Routers' interfaces: their ports on a project's networks.

Source: https://docs.openstack.org/api-ref/network/v2/#add-interface-to-router
"""

from __future__ import annotations

import ipaddress

from faafo_lab.cloud.emulator.common.service import JSON, Fault, Request, route
from faafo_lab.cloud.emulator.common.store import Row
from faafo_lab.cloud.emulator.services.network.base import Collection, invalid
from faafo_lab.cloud.emulator.services.network.ports import new_mac

INTERFACE = "network:router_interface"  # the owner of these ports


class Interfaces(Collection):
    """Routers, as to their interfaces."""

    name, plural, title = "router", "routers", "Router"

    def unused(self, router: Row, subnet: Row | None = None) -> None:
        """Check that nothing needs the router's interface to a subnet. Raises a 409 `Fault`."""
        raise NotImplementedError

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
                reason = f"Bad router request: Subnet for router interface must have a gateway IP: {subnet['id']}."
                raise Fault(400, reason, type="BadRequest")
            if subnet["gateway_ip"] in self.network.taken(subnet["network_id"]):
                reason = (
                    f"Unable to complete operation for network {subnet['network_id']}. The IP address {{}} is in use."
                )
                raise Fault(409, reason.format(subnet["gateway_ip"]), type="IpAddressInUse")
            row = self.port(router, INTERFACE, subnet["network_id"], [])
            self.network.quotas.claim(row["project_id"], {"port": 1})
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

    @route("PUT", "/v2.0/routers/{id}/remove_router_interface")
    def remove_interface(self, request: Request, id: str) -> JSON:
        """Take a router off a subnet.

        The port that connected it goes. Raises a `Fault`.
        """
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
            self.unused(router, self.network.subnets.table[subnet_id])
        self.network.ports.remove(port["id"])
        return _interface(router, port)

    def _meant(self, request: Request) -> tuple[Row | None, Row | None]:
        """The subnet and the port that a request names: one of them at least. Raises a `Fault`."""
        body = request.parse()
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
