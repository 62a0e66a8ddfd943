"""Which extensions of Neutron's API there are, and its availability zone.

Source: https://docs.openstack.org/api-ref/network/v2/#extensions
"""

from __future__ import annotations

from faafo_lab.cloud.emulator.common import pages
from faafo_lab.cloud.emulator.common.service import JSON, Request, route
from faafo_lab.cloud.emulator.services.network import query
from faafo_lab.cloud.emulator.services.network.words import refused

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
    "auto-allocated-topology": "Auto Allocated Topology Services",
    "availability_zone": "Availability Zone",
    "network_availability_zone": "Network Availability Zone",
    "router_availability_zone": "Router Availability Zone",
    "filter-validation": "Filter parameters validation",
    "ip-substring-filtering": "IP address substring filtering",
    "service-type": "Neutron Service Type Management",
    "subnet-service-types": "Subnet service types",
    "rbac-policies": "RBAC Policies",
    "rbac-address-group": "Add address_group type to RBAC",
    "rbac-address-scope": "Add address_scope type to RBAC",
    "rbac-security-groups": "Add security_group type to network RBAC",
    "rbac-subnetpool": "Add subnetpool type to RBAC",
    "address-group": "Address group",
    "address-scope": "Address scope",
    "security-groups-normalized-cidr": "Normalized CIDR field for security group rules",
    "security-groups-remote-address-group": "Remote address group id field for security group rules",
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
            raise refused("HTTPNotFound", f"Extension with alias {alias} does not exist")
        return {"extension": _extension(alias)}

    @route("GET", "/v2.0/availability_zones")
    def zones(self, request: Request) -> JSON:
        """The one availability zone."""
        return {
            "availability_zones": [
                {"name": "nova", "resource": kind, "state": "available"} for kind in ("network", "router")
            ]
        }

    @route("GET", "/v2.0/service-providers")
    def providers(self, request: Request) -> JSON:
        """The providers of routers: the four that Neutron brings along, none of them the default."""
        names = ("dvrha", "dvr", "ha", "single_node")
        views = [{"service_type": "L3_ROUTER_NAT", "name": name, "default": False} for name in names]
        passes = query.filter_by(request, views[0])
        return {"service_providers": [pages.fields(view, request) for view in filter(passes, views)]}

    @route("GET", "/v2.0/agents")
    @route("GET", "/v2.0/flavors")
    @route("GET", "/v2.0/network-ip-availabilities")
    @route("GET", "/v2.0/service_profiles")
    def nothing(self, request: Request) -> JSON:
        """What an ordinary user is shown none of."""
        return {request.path.rsplit("/", 1)[1].replace("-", "_"): []}


def _extension(alias: str) -> JSON:
    return {
        "alias": alias,
        "name": EXTENSIONS[alias],
        "description": EXTENSIONS[alias],
        "updated": "2017-01-01T00:00:00-00:00",
        "links": [],
    }
