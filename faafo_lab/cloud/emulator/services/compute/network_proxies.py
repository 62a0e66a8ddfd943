"""Nova's old doors to the network service: security groups, their rules, floating IPs, networks. Until 2.35.

As in Nova, each asks the network service with the client's own token, and words the answer in Nova's old forms.
Source: https://docs.openstack.org/api-ref/compute/#security-groups-os-security-groups-deprecated and the like
"""

from __future__ import annotations

from typing import Any

from faafo_lab.cloud.emulator.common.forwarding import ask
from faafo_lab.cloud.emulator.common.service import JSON, Answer, Fault, Request, route
from faafo_lab.cloud.emulator.common.store import Row
from faafo_lab.cloud.emulator.services.compute import versions
from faafo_lab.cloud.emulator.services.compute.base import form
from faafo_lab.cloud.emulator.services.compute.servers import Servers
from faafo_lab.cloud.emulator.services.compute.wanted import NAME
from faafo_lab.cloud.emulator.services.network.api import Network

TEXT: JSON = {"type": ["string", "null"], "maxLength": 255}
NUMBER: JSON = {
    "anyOf": [{"type": "integer", "minimum": -1, "maximum": 65535}, {"type": "string", "pattern": "^-?[0-9]{1,5}$"}]
}
RULE: JSON = {
    "type": "object",
    "required": ["parent_group_id"],
    "properties": {
        "parent_group_id": {"type": "string"},
        "ip_protocol": {"type": ["string", "null"]},
        "from_port": {"anyOf": [NUMBER, {"type": "null"}]},
        "to_port": {"anyOf": [NUMBER, {"type": "null"}]},
        "cidr": {"type": ["string", "null"]},
        "group_id": {"type": ["string", "null"]},
    },
}


class NetworkProxies:
    """Nova's old API of the network service's resources."""

    def __init__(self, servers: Servers, network: Network) -> None:
        self._servers, self._network = servers, network

    async def _neutron(
        self, request: Request, method: str, path: str, body: JSON | None = None, query: dict[str, str] | None = None
    ) -> JSON:
        """What Neutron answers; what it finds in conflict is a bad request here. Raises a `Fault`."""
        try:
            return await ask(self._network, request, method, f"/v2.0{path}", body, query)
        except Fault as fault:
            over = fault.status == 409 and fault.message.startswith("Quota exceeded")
            raise Fault(403 if over else 400 if fault.status == 409 else fault.status, fault.message) from None

    # Security groups

    def _group_form(self, group: JSON) -> JSON:
        rules = [rule for rule in group["security_group_rules"] if rule["direction"] == "ingress"]
        return {
            "id": group["id"],
            "name": group["name"],
            "description": group["description"],
            "tenant_id": group["project_id"],
            "rules": [self._rule_view(rule) for rule in rules],
        }

    def _rule_view(self, rule: Row) -> JSON:
        group = self._network.groups.table.get(rule["remote_group_id"])
        everybody = "0.0.0.0/0" if rule["ethertype"] == "IPv4" else "::/0"
        return {
            "id": rule["id"],
            "parent_group_id": rule["security_group_id"],
            "ip_protocol": rule["protocol"],
            "from_port": rule["port_range_min"],
            "to_port": rule["port_range_max"],
            "group": {"name": group["name"], "tenant_id": group["project_id"]} if group else {},
            "ip_range": {} if group else {"cidr": rule["remote_ip_prefix"] or everybody},
        }

    @route("GET", "/v2.1/servers/{id}/os-security-groups")
    def security_groups(self, request: Request, id: str) -> JSON:
        """A server's security groups, in Nova's old form."""
        self._servers.find(request, id)
        network = self._network
        groups = self._servers.groups_of(network.ports_of(id))
        found = [
            {**group, "security_group_rules": network.rules.table.where(security_group_id=group["id"])}
            for group in groups
        ]
        return {"security_groups": [self._group_form(group) for group in found]}

    @route("GET", "/v2.1/os-security-groups", versions=versions.PROXIES)
    async def old_groups(self, request: Request) -> JSON:
        """List security groups."""
        found = await self._neutron(request, "GET", "/security-groups")
        return {"security_groups": [self._group_form(each) for each in found["security_groups"]]}

    def _wanted_group_fields(self, request: Request) -> JSON:
        fields = {"type": "object", "required": ["name"], "properties": {"name": NAME, "description": TEXT}}
        wanted = request.parse(form("security_group", fields))["security_group"]
        return {"security_group": {"name": wanted["name"], "description": wanted.get("description") or ""}}

    @route("POST", "/v2.1/os-security-groups", versions=versions.PROXIES)
    async def old_create_group(self, request: Request) -> JSON:
        """Make a security group."""
        found = await self._neutron(request, "POST", "/security-groups", self._wanted_group_fields(request))
        return {"security_group": self._group_form(found["security_group"])}

    @route("GET", "/v2.1/os-security-groups/{id}", versions=versions.PROXIES)
    async def old_group(self, request: Request, id: str) -> JSON:
        """Show a security group."""
        found = await self._neutron(request, "GET", f"/security-groups/{id}")
        return {"security_group": self._group_form(found["security_group"])}

    @route("PUT", "/v2.1/os-security-groups/{id}", versions=versions.PROXIES)
    async def old_update_group(self, request: Request, id: str) -> JSON:
        """Rename a security group."""
        found = await self._neutron(request, "PUT", f"/security-groups/{id}", self._wanted_group_fields(request))
        return {"security_group": self._group_form(found["security_group"])}

    @route("DELETE", "/v2.1/os-security-groups/{id}", versions=versions.PROXIES)
    async def old_delete_group(self, request: Request, id: str) -> Answer:
        """Delete a security group."""
        await self._neutron(request, "DELETE", f"/security-groups/{id}")
        return Answer(202)

    @route("POST", "/v2.1/os-security-group-rules", versions=versions.PROXIES)
    async def old_create_rule(self, request: Request) -> JSON:
        """Let something in: from a block of addresses, or from the members of a group."""
        wanted = request.parse(form("security_group_rule", RULE))["security_group_rule"]
        low, high = (_port(wanted.get(name)) for name in ("from_port", "to_port"))
        source, group = wanted.get("cidr") or None, wanted.get("group_id")
        if wanted.get("ip_protocol") is None and group is None:
            raise Fault(400, "Protocol is required: ip_protocol, from_port and to_port say what is let in.")
        rule = {
            "security_group_id": wanted["parent_group_id"],
            "direction": "ingress",
            "protocol": wanted.get("ip_protocol"),
            "ethertype": "IPv6" if source and ":" in source else "IPv4",
            "port_range_min": low,
            "port_range_max": high,
            "remote_group_id": group,
            "remote_ip_prefix": source or (None if group else "0.0.0.0/0"),
        }
        found = await self._neutron(request, "POST", "/security-group-rules", {"security_group_rule": rule})
        return {"security_group_rule": self._rule_view(found["security_group_rule"])}

    @route("DELETE", "/v2.1/os-security-group-rules/{id}", versions=versions.PROXIES)
    async def old_delete_rule(self, request: Request, id: str) -> Answer:
        """Delete a rule."""
        await self._neutron(request, "DELETE", f"/security-group-rules/{id}")
        return Answer(202)

    # Floating IPs

    async def _pools(self, request: Request) -> dict[str, str]:
        """The external networks' names by id."""
        found = await self._neutron(request, "GET", "/networks", query={"router:external": "True"})
        return {each["id"]: each["name"] for each in found["networks"]}

    def _floating_form(self, floating: JSON, pools: dict[str, str]) -> JSON:
        port = floating.get("port_details") or {}
        return {
            "id": floating["id"],
            "ip": floating["floating_ip_address"],
            "fixed_ip": floating["fixed_ip_address"],
            "instance_id": port.get("device_id") or None,
            "pool": pools.get(floating["floating_network_id"]),
        }

    @route("GET", "/v2.1/os-floating-ip-pools", versions=versions.PROXIES)
    async def old_pools(self, request: Request) -> JSON:
        """The networks that floating IPs come from."""
        return {"floating_ip_pools": [{"name": name} for name in (await self._pools(request)).values()]}

    @route("GET", "/v2.1/os-floating-ips", versions=versions.PROXIES)
    async def old_floating_ips(self, request: Request) -> JSON:
        """List floating IPs."""
        pools = await self._pools(request)
        found = await self._neutron(request, "GET", "/floatingips")
        return {"floating_ips": [self._floating_form(each, pools) for each in found["floatingips"]]}

    @route("POST", "/v2.1/os-floating-ips", versions=versions.PROXIES)
    async def old_create_floating_ip(self, request: Request) -> JSON:
        """Take a floating IP out of a pool."""
        asked = request.parse({"type": "object", "properties": {"pool": TEXT}}).get("pool")
        pools = await self._pools(request)
        network = next((id for id, name in pools.items() if asked in (None, id, name)), None)
        if network is None:
            raise Fault(404, f"Floating IP pool {asked} not found.")
        body = {"floatingip": {"floating_network_id": network}}
        found = await self._neutron(request, "POST", "/floatingips", body)
        return {"floating_ip": self._floating_form(found["floatingip"], pools)}

    @route("GET", "/v2.1/os-floating-ips/{id}", versions=versions.PROXIES)
    async def old_floating_ip(self, request: Request, id: str) -> JSON:
        """Show a floating IP."""
        pools = await self._pools(request)
        found = await self._neutron(request, "GET", f"/floatingips/{id}")
        return {"floating_ip": self._floating_form(found["floatingip"], pools)}

    @route("DELETE", "/v2.1/os-floating-ips/{id}", versions=versions.PROXIES)
    async def old_delete_floating_ip(self, request: Request, id: str) -> Answer:
        """Give a floating IP back."""
        await self._neutron(request, "DELETE", f"/floatingips/{id}")
        return Answer(202)

    # Networks: os-networks, and the same by its other name

    def _network_form(self, request: Request, network: JSON) -> JSON:
        if "os-tenant-networks" in request.path:
            return {"id": network["id"], "cidr": "None", "label": network["name"]}
        return {**dict.fromkeys(_NETWORK_FIELDS), "id": network["id"], "label": network["name"]}

    @route("GET", "/v2.1/os-networks", versions=versions.PROXIES)
    @route("GET", "/v2.1/os-tenant-networks", versions=versions.PROXIES)
    async def old_networks(self, request: Request) -> JSON:
        """List networks."""
        found = await self._neutron(request, "GET", "/networks")
        return {"networks": [self._network_form(request, each) for each in found["networks"]]}

    @route("GET", "/v2.1/os-networks/{id}", versions=versions.PROXIES)
    @route("GET", "/v2.1/os-tenant-networks/{id}", versions=versions.PROXIES)
    async def old_network(self, request: Request, id: str) -> JSON:
        """Show a network."""
        found = await self._neutron(request, "GET", f"/networks/{id}")
        return {"network": self._network_form(request, found["network"])}


_NETWORK_FIELDS = (  # of nova-network, which had them; Neutron's networks have none
    *("id", "label", "cidr", "gateway", "netmask", "broadcast", "dns1", "dns2", "cidr_v6", "gateway_v6"),
    *("netmask_v6",),
)


def _port(value: Any) -> int | None:
    """A rule's port as Neutron has it: -1 is Nova's old word for any."""
    return None if value is None or int(value) == -1 else int(value)
