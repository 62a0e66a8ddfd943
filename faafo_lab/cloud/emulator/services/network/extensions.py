"""Which extensions of Neutron's API there are, and its availability zone.

Source: https://docs.openstack.org/api-ref/network/v2/#extensions
"""

from __future__ import annotations

from faafo_lab.cloud.emulator.common.service import JSON, Fault, Request, route

EXTENSIONS = {
    "security-group": "security-group",
    "router": "Neutron L3 Router",
    "extraroute": "Neutron Extra Route",
    "extraroute-atomic": "Atomically add/remove extra routes",
    "external-net": "Neutron external network",
    "quotas": "Quota management support",
    "quota_details": "Quota details management support",
    "pagination": "Pagination support",
    "sorting": "Sorting support",
    "project-id": "project_id field enabled",
    "standard-attr-description": "standard-attr-description",
    "standard-attr-revisions": "Resource revision numbers",
    "standard-attr-tag": "Tag support for resources with standard attribute",
    "standard-attr-timestamp": "Resource timestamps",
    "fip-port-details": "Floating IP Port Details Extension",
    "port-security": "Port Security",
    "allowed-address-pairs": "Allowed Address Pairs",
    "extra_dhcp_opt": "Neutron Extra DHCP options",
    "subnet_allocation": "Subnet Allocation",
    "default-subnetpools": "Default Subnetpools",
    "net-mtu": "Network MTU",
    "net-mtu-writable": "Network MTU (writable)",
    "availability_zone": "Availability Zone",
    "network_availability_zone": "Network Availability Zone",
    "router_availability_zone": "Router Availability Zone",
}


class Extensions:
    """What the network service has beyond networks, subnets and ports."""

    @route("GET", "/v2.0/extensions")
    def extensions(self, request: Request) -> JSON:
        """Which extensions there are."""
        return {"extensions": [_extension(alias) for alias in EXTENSIONS]}

    @route("GET", "/v2.0/extensions/{alias}")
    def extension(self, request: Request, alias: str) -> JSON:
        """One extension."""
        if alias not in EXTENSIONS:
            raise Fault(404, f"Extension with alias {alias} does not exist", type="HTTPNotFound")
        return {"extension": _extension(alias)}

    @route("GET", "/v2.0/availability_zones")
    def zones(self, request: Request) -> JSON:
        """The one availability zone."""
        return {
            "availability_zones": [
                {"name": "nova", "resource": kind, "state": "available"} for kind in ("network", "router")
            ]
        }

    @route("GET", "/v2.0/agents")
    def agents(self, request: Request) -> JSON:
        """An ordinary user sees no agents."""
        return {"agents": []}


def _extension(alias: str) -> JSON:
    return {
        "alias": alias,
        "name": EXTENSIONS[alias],
        "description": EXTENSIONS[alias],
        "updated": "2017-01-01T00:00:00-00:00",
        "links": [],
    }
