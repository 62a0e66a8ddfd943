"""Security groups and their rules: who may connect to an instance.

A new group lets everything out and nothing in; a project's group `default` also lets its own members in.
Source: https://docs.openstack.org/api-ref/network/v2/#security-groups-security-groups
"""

from __future__ import annotations

import ipaddress
from collections.abc import Mapping
from typing import Any, ClassVar

from faafo_lab.cloud.emulator.common.numbers import whole
from faafo_lab.cloud.emulator.common.service import JSON, Fault, Request
from faafo_lab.cloud.emulator.common.store import Row
from faafo_lab.cloud.emulator.services.network.attributes import (
    Attribute,
    boolean,
    choice,
    integer,
    optional,
    text,
    uuid,
)
from faafo_lab.cloud.emulator.services.network.base import Collection

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
_SAME = ("direction", "ethertype", "port_range_min", "port_range_max", "remote_group_id")


def protocol(value: Any) -> str:
    """A protocol's name in small letters, or its number. Raises Neutron's own 400 `Fault`."""
    name = str(value).lower()
    if isinstance(value, bool) or not isinstance(value, str | int) or number_of(name) is None:
        raise Fault(
            400,
            f"Security group rule protocol {value} not supported. Only protocol values "
            f"{[None, *PROTOCOLS]} and integer representations [0 to 255] are supported.",
            type="SecurityGroupRuleInvalidProtocol",
        )
    return name


def number_of(protocol: str) -> int | None:
    """The number of a protocol, by its name or as text; None where there is no such."""
    number = PROTOCOLS.get(protocol, whole(protocol))
    return number if number is not None and number <= 255 else None


def ethertype(value: Any) -> str:
    """IPv4 or IPv6, in whatever letters."""
    names = {"ipv4": "IPv4", "ipv6": "IPv6"}
    return str(choice(*names.values())(names.get(str(value).lower(), value)))


def prefix(value: Any) -> str | None:
    """A block of addresses, which keeps its host bits as in Neutron; an address is a block of one, "" is none.

    Raises Neutron's own 400 `Fault`.
    """
    if value == "":
        return None
    try:
        return ipaddress.ip_interface(value if isinstance(value, str) else "").with_prefixlen
    except ValueError:
        raise Fault(400, f"Invalid CIDR {value} given as IP prefix.", type="InvalidCIDR") from None


def port(value: Any) -> int:
    """A port, or an ICMP type or code. Raises Neutron's own 400 `Fault` for what is none."""
    try:
        number: int = integer(0, 65535)(value)
    except ValueError:
        raise Fault(400, f"Invalid value for port {value}", type="SecurityGroupInvalidPortValue") from None
    return number


class SecurityGroups(Collection):
    """Security groups."""

    name, plural, title = "security_group", "security_groups", "SecurityGroup"
    attributes: ClassVar[Mapping[str, Attribute]] = {
        "name": Attribute(text(), ""),
        "stateful": Attribute(boolean, True),
        "description": Attribute(text(), ""),
    }

    def missing(self, id: str) -> Fault:
        """The answer for an id that is not there."""
        return Fault(404, f"Security group {id} does not exist", type="SecurityGroupNotFound")

    def default(self, project: str) -> Row:
        """The project's group `default`; it is made where it is missing."""
        found = self.table.where(project_id=project, name="default")
        if found:
            return found[0]
        values = {"name": "default", "stateful": True, "description": "Default security group"}
        with self.network.store.transaction():
            row = self.table.put({**self.new(project, values), "shared": False})
            self.created(row)
            for ethertype in ("IPv4", "IPv6"):
                self.network.rules.add(row, direction="ingress", ethertype=ethertype, remote_group_id=row["id"])
        return self.table[row["id"]]

    def creating(self, request: Request, row: Row) -> Row:
        """There is only one `default`."""
        if row["name"] == "default":
            raise Fault(409, "Default security group already exists.", type="SecurityGroupDefaultAlreadyExists")
        return {**row, "shared": False, "revision_number": 1}

    def created(self, row: Row) -> None:
        """A new group lets everything out."""
        for ethertype in ("IPv4", "IPv6"):
            self.network.rules.add(row, direction="egress", ethertype=ethertype)

    def updating(self, request: Request, row: Row, changes: JSON) -> JSON:
        """The group `default` keeps its name."""
        if row["name"] == "default" and changes.get("name", "default") != "default":
            raise Fault(409, "Updating default security group not allowed.", type="SecurityGroupCannotUpdateDefault")
        return changes

    def deleting(self, row: Row) -> None:
        """Only a group that no port has; the rules of other groups that name it go with it."""
        if row["name"] == "default":
            raise Fault(
                409,
                "Insufficient rights for removing default security group.",
                type="SecurityGroupCannotRemoveDefault",
            )
        if any(row["id"] in port["security_groups"] for port in self.network.ports.table):
            raise Fault(409, f"Security Group {row['id']} in use.", type="SecurityGroupInUse")
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
    attributes: ClassVar[Mapping[str, Attribute]] = {
        "security_group_id": Attribute(text(), put=False),
        "ethertype": Attribute(ethertype, "IPv4", put=False),
        "direction": Attribute(choice("ingress", "egress"), put=False),
        "protocol": Attribute(optional(protocol), None, put=False),
        "port_range_min": Attribute(optional(port), None, put=False),
        "port_range_max": Attribute(optional(port), None, put=False),
        "remote_ip_prefix": Attribute(optional(prefix), None, put=False),
        "remote_address_group_id": Attribute(optional(uuid), None, put=False),
        "remote_group_id": Attribute(optional(text()), None, put=False),
        "description": Attribute(text(), ""),
    }

    def missing(self, id: str) -> Fault:
        """The answer for an id that is not there."""
        return Fault(404, f"Security group rule {id} does not exist", type="SecurityGroupRuleNotFound")

    def add(self, group: Row, **values: Any) -> Row:
        """A rule that a group has by itself."""
        fields = {**dict.fromkeys(self.attributes), **values, "security_group_id": group["id"]}
        return self.table.put(self._complete(self.new(group["project_id"], fields)))

    def _complete(self, row: Row) -> Row:
        written = row["remote_ip_prefix"]
        block = None if written is None else str(ipaddress.ip_network(written, strict=False))
        return {**row, "normalized_cidr": block}

    def creating(self, request: Request, row: Row) -> Row:
        """Check that the rule makes sense, and that the group has none like it."""
        group = self.network.groups.own(request, row["security_group_id"])
        if row["remote_group_id"] is not None:
            self.network.groups.find(request, row["remote_group_id"])
            if row["remote_ip_prefix"] is not None:
                raise Fault(
                    400,
                    "Only one of remote_ip_prefix or remote_group_id or remote_address_group_id may be provided.",
                    type="SecurityGroupMultipleRemoteEntites",
                )
        if row["ethertype"] == "IPv6" and row["protocol"] == "icmp":
            row = {**row, "protocol": "ipv6-icmp"}
        _check_ports(row)
        _check_prefix(row)
        for other in self.table.where(security_group_id=group["id"]):
            if _meaning(other) == _meaning(row):
                raise Fault(
                    409,
                    f"Security group rule already exists. Rule id is {other['id']}.",
                    type="SecurityGroupRuleExists",
                )
        return self._complete(row)


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
            raise Fault(
                400,
                f"ICMP code (port-range-max) {high} is provided but ICMP type (port-range-min) is missing.",
                type="SecurityGroupMissingIcmpType",
            )
        for field, end, value in (("type", "min", low), ("code", "max", high)):
            if value is not None and value > 255:
                raise Fault(
                    400,
                    f"Invalid value for ICMP {field} (port_range_{end}) {value}. It must be 0 to 255.",
                    type="SecurityGroupInvalidIcmpValue",
                )
        return
    if name is None:
        raise Fault(
            400,
            "Must also specify protocol if port range is given.",
            type="SecurityGroupProtocolRequiredWithPorts",
        )
    if number not in [PROTOCOLS[each] for each in WITH_PORTS]:
        raise Fault(
            400,
            f"Ports cannot be specified for protocol {number}. Ports are only supported for "
            f"{', '.join(each.upper() for each in WITH_PORTS)}.",
            type="SecurityGroupInvalidProtocolForPort",
        )
    if 0 in (low, high):
        raise Fault(400, "Invalid value for port 0", type="SecurityGroupInvalidPortValue")
    if low is None or high is None or low > high:
        raise Fault(
            400,
            "For TCP/UDP protocols, port_range_min must be <= port_range_max",
            type="SecurityGroupInvalidPortRange",
        )


def _check_prefix(row: Row) -> None:
    prefix = row["remote_ip_prefix"]
    if prefix is not None and f"IPv{ipaddress.ip_interface(prefix).version}" != row["ethertype"]:
        raise Fault(
            400,
            f"Conflicting value ethertype {row['ethertype']} for CIDR {prefix}",
            type="SecurityGroupRuleParameterConflict",
        )
