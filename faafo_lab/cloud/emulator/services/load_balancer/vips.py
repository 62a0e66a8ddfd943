"""The addresses of load balancers (VIPs), each on a port of the network service."""

from __future__ import annotations

from faafo_lab.cloud.emulator.common.service import JSON, Fault, Request
from faafo_lab.cloud.emulator.common.store import Row
from faafo_lab.cloud.emulator.services.load_balancer.base import Collection
from faafo_lab.cloud.emulator.services.load_balancer.kinds import LOAD_BALANCER, PROVIDER
from faafo_lab.cloud.emulator.services.network.api import Network


class Vips:
    """Takes and releases them."""

    def __init__(self, collection: Collection, network: Network) -> None:
        self._all, self._network = collection, network

    def subnet(self, project: str, id: str) -> Row:
        """A subnet that the project may use. Raises a 400 `Fault`."""
        row = self._network.subnets.usable(project, id)
        if row is None:
            raise Fault(400, f"Subnet {id} not found.")
        return row

    def release(self, balancer: Row) -> None:
        """Delete the port that was made for a load balancer."""
        self._network.ports.remove(balancer["vip_port_id"])

    def take(self, request: Request, row: Row) -> JSON:
        """The address: on a port of the client's, or on a new one."""
        network = self._network
        subnet = self.subnet(request.project, row["vip_subnet_id"]) if row["vip_subnet_id"] else None
        try:
            if row["vip_port_id"] is not None:
                port = network.ports.own(request, row["vip_port_id"])
                others = [
                    each
                    for each in self._all.table(LOAD_BALANCER).where(vip_port_id=port["id"])
                    if each["id"] != row["id"]
                ]
                if port["device_owner"] or others or not port["fixed_ips"]:
                    raise Fault(409, f"Port {port['id']} is in use, or has no address.")
                port = network.ports.touch(port["id"], status="ACTIVE")
            else:
                id = subnet["network_id"] if subnet else row["vip_network_id"]
                if id is None:
                    raise Fault(400, "Validation failure: VIP must contain one of: vip_port_id, vip_network_id, "
                                     "vip_subnet_id.")  # fmt: skip
                network.networks.find(request, id)
                fixed = {"subnet_id": subnet["id"]} if subnet else {}
                if row["vip_address"] is not None:
                    fixed["ip_address"] = row["vip_address"]
                values = {name: each.default for name, each in network.ports.attributes.items()}
                values |= {"name": f"octavia-lb-{row['id']}", "network_id": id, "security_groups": [],
                           "fixed_ips": [fixed]}  # fmt: skip
                owned = {"device_id": f"lb-{row['id']}", "device_owner": "Octavia", "status": "ACTIVE"}
                port = network.ports.plug(request.project, values, owned)
        except Fault as fault:
            raise Fault(fault.status if fault.status != 404 else 400, fault.message) from None
        ip = port["fixed_ips"][0]
        return {
            "vip_port_id": port["id"],
            "vip_address": ip["ip_address"],
            "vip_subnet_id": ip["subnet_id"],
            "vip_network_id": port["network_id"],
            "own_port": row["vip_port_id"] is None,
            "provider": PROVIDER,
        }
