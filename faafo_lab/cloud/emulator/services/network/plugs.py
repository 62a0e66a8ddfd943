"""What networks, ports, security groups and floating IPs mean for the switch: one `Plug` an instance."""

from __future__ import annotations

import ipaddress
from collections.abc import Iterator
from typing import TYPE_CHECKING

from faafo_lab.cloud.emulator.common.store import Row
from faafo_lab.cloud.emulator.machinery.switch.plug import Plug, Rule

if TYPE_CHECKING:
    from faafo_lab.cloud.emulator.services.network.api import Network

TCP = (None, "0", "tcp", "6")  # no protocol, and 0: any


def plugs(network: Network) -> dict[str, Plug]:
    """The desired state of the switch, by server id."""
    members: dict[str, set[str]] = {}  # security group: servers
    ports = network.ports_by_server()
    for server, rows in ports.items():
        for port in rows:
            for group in port["security_groups"]:
                members.setdefault(group, set()).add(server)
    rules: dict[str, list[Rule]] = {}
    for row in network.rules.table:
        if row["direction"] == "ingress" and row["ethertype"] == "IPv4" and row["protocol"] in TCP:
            rules.setdefault(row["security_group_id"], []).extend(_rules(network, row, members))
    around = segments(network)
    inside: dict[str, set[str]] = {}  # segment: servers
    for server, rows in ports.items():
        for port in rows:
            inside.setdefault(around[port["network_id"]], set()).add(server)
    found: dict[str, Plug] = {}
    for server, rows in ports.items():
        sockets = network.sockets(server)
        addresses = list(_addresses(network, rows))
        if sockets is None or not addresses:
            continue
        found[server] = Plug(
            ports=sockets,
            addresses=tuple(addresses),
            fixed_address=addresses[0],
            rules=tuple(dict.fromkeys(rule for port in rows for rule in _of_port(port, rules))),
            outsiders={
                ip["ip_address"]: outsiders
                for port in rows
                if (outsiders := frozenset(ports) - inside[around[port["network_id"]]])
                for ip in port["fixed_ips"]
            },
        )
    return found


def segments(network: Network) -> dict[str, str]:
    """Each network's segment, named after one of its networks: those that a router joins reach each other.

    An external network joins nobody: what lies behind its other routers is reached by floating IPs only.
    """
    found = {row["id"]: row["id"] for row in network.networks.table}
    routers: dict[str, str] = {}  # router: a network that it is on
    for port in network.ports.table.where(device_owner="network:router_interface"):
        here = found[port["network_id"]]
        other = found[routers.setdefault(port["device_id"], port["network_id"])]
        if here != other:
            found = {id: other if segment == here else segment for id, segment in found.items()}
    return found


def _rules(network: Network, row: Row, members: dict[str, set[str]]) -> Iterator[Rule]:
    """What a rule lets in: of an address group, each of its blocks."""
    group, prefixes = row["remote_group_id"], [row["normalized_cidr"]]
    if row["remote_address_group_id"] is not None:
        blocks = network.address_groups.table[row["remote_address_group_id"]]["addresses"]
        prefixes = [block for block in blocks if ":" not in block]
    for prefix in prefixes:
        yield Rule(
            port_min=row["port_range_min"] or 1,
            port_max=row["port_range_max"] or 65535,
            remote_prefix=None if prefix == "0.0.0.0/0" else prefix,
            remote_instances=None if group is None else frozenset(members.get(group, ())),
        )


def _of_port(port: Row, rules: dict[str, list[Rule]]) -> Iterator[Rule]:
    """A port's rules; without port security, all comers."""
    if not port["port_security_enabled"]:
        yield Rule(1, 65535, None, None)
    for group in port["security_groups"]:
        yield from rules.get(group, ())


def _addresses(network: Network, ports: list[Row]) -> Iterator[str]:
    """Fixed addresses, then floating ones; only those that are this cloud's own can be listened on."""
    own = ipaddress.ip_network(network.site.cidr)
    found = [ip["ip_address"] for port in ports if port["admin_state_up"] for ip in port["fixed_ips"]]
    for port in ports:
        found += [row["floating_ip_address"] for row in network.floating_ips.of_port(port["id"])]
    return (each for each in found if ipaddress.ip_address(each) in own)
