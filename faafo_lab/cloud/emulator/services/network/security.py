"""Security groups and their rules: who may connect to an instance.

A new group lets everything out and nothing in; a project's group `default` also lets its own members in.
Source: https://docs.openstack.org/api-ref/network/v2/#security-groups-security-groups
"""

from __future__ import annotations

import ipaddress
from collections.abc import Mapping
from typing import Any, ClassVar

from faafo_lab.cloud.emulator.common.numbers import whole
from faafo_lab.cloud.emulator.common.service import JSON, Request
from faafo_lab.cloud.emulator.common.store import Row
from faafo_lab.cloud.emulator.services.network import checks
from faafo_lab.cloud.emulator.services.network.base import Collection
from faafo_lab.cloud.emulator.services.network.checks import NAMED, Attribute
from faafo_lab.cloud.emulator.services.network.words import refused

DEFAULT = "default"  # the group that a project's ports have where they name none
PROTOCOLS = {  # the names that Neutron knows, and their numbers
    "ah": 51,
    "dccp": 33,
    "egp": 8,
    "esp": 50,
    "gre": 47,
    "hopopt": 0,
    "icmp": 1,
    "icmpv6": 58,
    "igmp": 2,
    "ip": 0,
    "ipip": 4,
    "ipv6-encap": 41,
    "ipv6-frag": 44,
    "ipv6-icmp": 58,
    "ipv6-nonxt": 59,
    "ipv6-opts": 60,
    "ipv6-route": 43,
    "ospf": 89,
    "pgm": 113,
    "rsvp": 46,
    "sctp": 132,
    "tcp": 6,
    "udp": 17,
    "udplite": 136,
    "vrrp": 112,
}
ICMP, IPV6_ICMP = 1, 58
WITH_PORTS = ("dccp", "sctp", "tcp", "udp", "udplite")
ANYWHERE = (None, "0.0.0.0/0", "::/0")
_REMOTES = ("remote_ip_prefix", "remote_group_id", "remote_address_group_id")
_SAME = ("direction", "ethertype", "port_range_min", "port_range_max", *_REMOTES[1:])


def protocol(value: Any) -> str:
    """A protocol's name in small letters, or its number. Raises Neutron's own 400 `Fault`."""
    name = str(value).lower()
    if isinstance(value, bool) or not isinstance(value, str | int) or number_of(name) is None:
        raise refused("SecurityGroupRuleInvalidProtocol", value, [None, *PROTOCOLS])
    return name


def number_of(protocol: str) -> int | None:
    """The number of a protocol, by its name or as text; None where there is no such."""
    number = PROTOCOLS.get(protocol, whole(protocol))
    return number if number is not None and number <= 255 else None


def ethertype(value: Any) -> str:
    """IPv4 or IPv6, in whatever letters."""
    names = {"ipv4": "IPv4", "ipv6": "IPv6"}
    return str(checks.choice(*names.values())(names.get(str(value).lower(), value)))


def prefix(value: Any) -> str | None:
    """A block of addresses, which keeps its host bits as in Neutron; an address is a block of one, "" is none.

    Raises Neutron's own 400 `Fault`.
    """
    if value == "":
        return None
    try:
        return ipaddress.ip_interface(value if isinstance(value, str) else "").with_prefixlen
    except ValueError:
        raise refused("InvalidCIDR", value) from None


def port(value: Any) -> int:
    """A port, or an ICMP type or code. Raises Neutron's own 400 `Fault` for what is none."""
    try:
        number: int = checks.integer(0, 65535)(value)
    except ValueError:
        raise refused("SecurityGroupInvalidPortValue", value) from None
    return number


class SecurityGroups(Collection):
    """Security groups."""

    name, plural, title = "security_group", "security_groups", "SecurityGroup"
    also = ("shared",)
    attributes: ClassVar[Mapping[str, Attribute]] = {**NAMED, "stateful": Attribute(checks.boolean, True)}

    def default(self, project: str) -> Row:
        """The project's group `default`; it is made where it is missing."""
        found = self.table.where(project_id=project, name=DEFAULT)
        if found:
            return found[0]
        values = {"name": DEFAULT, "stateful": True, "description": "Default security group"}
        with self.network.store.transaction():
            row = self.table.put({**self.new(project, values), "shared": False})
            self.created(row)
            for ethertype in ("IPv4", "IPv6"):
                self.network.rules.add(row, direction="ingress", ethertype=ethertype, remote_group_id=row["id"])
        return self.table[row["id"]]

    def creating(self, request: Request, row: Row) -> Row:
        """There is only one `default`."""
        if row["name"] == DEFAULT:
            raise refused("SecurityGroupDefaultAlreadyExists")
        return {**row, "shared": False, "revision_number": 1}

    def created(self, row: Row) -> None:
        """A new group lets everything out."""
        for ethertype in ("IPv4", "IPv6"):
            self.network.rules.add(row, direction="egress", ethertype=ethertype)

    def updating(self, request: Request, row: Row, changes: JSON) -> JSON:
        """The group `default` keeps its name, and no other one takes it."""
        if "name" in changes and row["name"] == DEFAULT != changes["name"]:
            raise refused("SecurityGroupCannotUpdateDefault")
        if changes.get("name") == DEFAULT != row["name"]:
            raise refused("SecurityGroupDefaultAlreadyExists")
        return changes

    def deleting(self, row: Row) -> None:
        """Only a group that no port has; the rules of other groups that name it go with it."""
        if row["name"] == DEFAULT:
            raise refused("SecurityGroupCannotRemoveDefault")
        if any(row["id"] in port["security_groups"] for port in self.network.ports.table):
            raise refused("SecurityGroupInUse", row["id"])
        rules = self.network.rules.table
        for rule in rules:
            if row["id"] in (rule["security_group_id"], rule["remote_group_id"]):
                rules.delete(rule["id"])

    def view(self, row: Row) -> JSON:
        """With its rules."""
        rules = self.network.rules.table.where(security_group_id=row["id"])
        return {**row, "security_group_rules": sorted(rules, key=lambda rule: str(rule["id"]))}


class SecurityGroupRules(Collection):
    """Security group rules."""

    name, plural, title = "security_group_rule", "security_group_rules", "SecurityGroupRule"
    addressed = ("remote_ip_prefix", "normalized_cidr")
    also = ("normalized_cidr",)
    attributes: ClassVar[Mapping[str, Attribute]] = {
        "security_group_id": Attribute(checks.text(), put=False),
        "ethertype": Attribute(ethertype, "IPv4", put=False),
        "direction": Attribute(checks.choice("ingress", "egress"), put=False),
        "protocol": Attribute(checks.optional(protocol), None, put=False),
        "port_range_min": Attribute(checks.optional(port), None, put=False),
        "port_range_max": Attribute(checks.optional(port), None, put=False),
        "remote_ip_prefix": Attribute(checks.optional(prefix), None, put=False),
        "remote_address_group_id": Attribute(checks.optional(checks.uuid), None, put=False),
        "remote_group_id": Attribute(checks.optional(checks.text()), None, put=False),
        "description": Attribute(checks.text(), ""),
    }

    def add(self, group: Row, **values: Any) -> Row:
        """A rule that a group has by itself."""
        fields = {**dict.fromkeys(self.attributes), **values, "security_group_id": group["id"]}
        return self.table.put({**self.new(group["project_id"], fields), "normalized_cidr": None})

    def creating(self, request: Request, row: Row) -> Row:
        """Check that the rule makes sense, and that the group has none like it."""
        group = self.network.groups.own(request, row["security_group_id"])
        if sum(row[name] is not None for name in _REMOTES) > 1:
            raise refused("SecurityGroupMultipleRemoteEntites")
        if row["remote_group_id"] is not None:
            self.network.groups.find(request, row["remote_group_id"])
        if row["remote_address_group_id"] is not None:
            self.network.address_groups.find(request, row["remote_address_group_id"])
        if row["ethertype"] == "IPv6" and row["protocol"] == "icmp":
            row = {**row, "protocol": "ipv6-icmp"}
        _check_ports(row)
        written = row["remote_ip_prefix"]
        block = None if written is None else ipaddress.ip_network(written, strict=False)
        if block is not None and f"IPv{block.version}" != row["ethertype"]:
            raise refused("SecurityGroupRuleParameterConflict", row["ethertype"], written)
        for other in self.table.where(security_group_id=group["id"]):
            if _meaning(other) == _meaning(row):
                raise refused("SecurityGroupRuleExists", other["id"])
        return {**row, "normalized_cidr": None if block is None else str(block)}


def _meaning(row: Row) -> tuple[Any, ...]:
    """What Neutron compares rules by: protocols by their numbers, and every word for anywhere; not host bits."""
    number = None if row["protocol"] is None else number_of(row["protocol"])
    source = None if row["remote_ip_prefix"] in ANYWHERE else row["remote_ip_prefix"]
    return (number, source, *(row[name] for name in _SAME))


def _check_ports(row: Row) -> None:
    low, high, name = row["port_range_min"], row["port_range_max"], row["protocol"]
    if low is None and high is None:
        return
    number = None if name is None else number_of(name)
    if number in (ICMP, IPV6_ICMP):
        if low is None:
            raise refused("SecurityGroupMissingIcmpType", high)
        for field, end, value in (("type", "min", low), ("code", "max", high)):
            if value is not None and value > 255:
                raise refused("SecurityGroupInvalidIcmpValue", field, end, value)
        return
    if name is None:
        raise refused("SecurityGroupProtocolRequiredWithPorts")
    if number not in [PROTOCOLS[each] for each in WITH_PORTS]:
        allowed = ", ".join(each.upper() for each in WITH_PORTS)
        raise refused("SecurityGroupInvalidProtocolForPort", number, allowed)
    if 0 in (low, high):
        raise refused("SecurityGroupInvalidPortValue", 0)
    if low is None or high is None or low > high:
        raise refused("SecurityGroupInvalidPortRange")
