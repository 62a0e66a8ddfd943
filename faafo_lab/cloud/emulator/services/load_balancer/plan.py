"""What load balancers mean for the data path: the desired listeners and pools."""

from __future__ import annotations

import ipaddress
import math

from faafo_lab.cloud.emulator.common.store import Row
from faafo_lab.cloud.emulator.machinery.balancing.listeners import Listener
from faafo_lab.cloud.emulator.machinery.balancing.pools import Member, Monitor, Pool
from faafo_lab.cloud.emulator.services.load_balancer import kinds
from faafo_lab.cloud.emulator.services.load_balancer.base import Collection
from faafo_lab.cloud.emulator.services.network.api import Network
from faafo_lab.cloud.emulator.services.network.plugs import segments

_GOING = "PENDING_DELETE"


class Plan:
    """The desired state of the data path, as the rows have it now."""

    def __init__(self, parts: Collection, network: Network) -> None:
        self._parts = parts
        self._network = network
        self._segments = segments(self._network)
        self._networks = network.ports.networks()
        self._floating = network.floating_ips.addresses()
        self.listeners: dict[str, Listener] = {}
        self.pools: dict[str, Pool] = {}
        for row in parts.table(kinds.LISTENER):
            balancer = parts.table(kinds.LOAD_BALANCER)[row["loadbalancer_id"]]
            if row["admin_state_up"] and balancer["admin_state_up"] and row["provisioning_status"] != _GOING:
                self._listener(row, balancer)

    def _listener(self, row: Row, balancer: Row) -> None:
        port = self._network.ports.get(balancer["vip_port_id"])
        if port is None or not port["admin_state_up"]:
            return
        floating = [each["floating_ip_address"] for each in self._network.floating_ips.of_port(port["id"])]
        own = ipaddress.ip_network(self._network.site.cidr)
        here = [each for each in (balancer["vip_address"], *floating) if ipaddress.ip_address(each) in own]
        pool = self._parts.table(kinds.POOL).get(row["default_pool_id"])
        if pool is not None and (not pool["admin_state_up"] or pool["provisioning_status"] == _GOING):
            pool = None
        if pool is not None:
            self.pools[pool["id"]] = self._pool(pool, balancer, port)
        asked = row["insert_headers"]
        self.listeners[row["id"]] = Listener(
            addresses=tuple(here),
            port=row["protocol_port"],
            http=row["protocol"] == "HTTP",
            pool=pool["id"] if pool is not None else None,
            connection_limit=row["connection_limit"],
            client_seconds=row["timeout_client_data"] / 1000 or math.inf,
            member_seconds=row["timeout_member_data"] / 1000 or math.inf,
            connect_seconds=row["timeout_member_connect"] / 1000 or math.inf,
            insert_headers=tuple(name for name in kinds.INSERT_HEADERS if str(asked.get(name)).lower() == "true"),
            allowed=tuple(row["allowed_cidrs"] or ()),
            outsiders=self._outsiders(port),
        )

    def _outsiders(self, port: Row) -> frozenset[str]:
        """The instances that have no way to the VIP."""
        segment = self._segments[port["network_id"]]
        return frozenset(
            server
            for server, ports in self._network.ports_by_server().items()
            if all(self._segments[each["network_id"]] != segment for each in ports)
        )

    def _pool(self, row: Row, balancer: Row, port: Row) -> Pool:
        members = [
            self._member(each, balancer, port)
            for each in self._parts.of(kinds.MEMBER, pool_id=row["id"])
            if each["admin_state_up"] and each["provisioning_status"] != _GOING
        ]
        bound = row["session_persistence"] or {}
        monitor = self._parts.monitor(row["id"])
        return Pool(
            algorithm=row["lb_algorithm"],
            members=tuple(members),
            persistence=bound.get("type"),
            cookie=bound.get("cookie_name") or "SRV",
            monitor=_monitor(monitor) if monitor is not None else None,
        )

    def _member(self, row: Row, balancer: Row, port: Row) -> Member:
        """The load balancer comes from its VIP, or, to a member's own subnet, from an address of that."""
        subnet = self._network.subnets.get(row["subnet_id"])
        source, start = f"{balancer['vip_address']}/32", port["network_id"]
        if subnet is not None and subnet["id"] != balancer["vip_subnet_id"]:
            source, start = subnet["cidr"], subnet["network_id"]
        check = row["monitor_address"] or row["address"]
        return Member(
            id=row["id"],
            address=row["address"],
            port=row["protocol_port"],
            weight=row["weight"],
            backup=row["backup"],
            source=source,
            reachable=self._reaches(start, row["address"]) and self._reaches(start, check),
            check_address=check,
            check_port=row["monitor_port"] or row["protocol_port"],
        )

    def _reaches(self, network: str, address: str) -> bool:
        if address in self._floating:
            return True
        there = self._networks.get(address)
        return there is not None and self._segments.get(network) == self._segments[there]


def _monitor(row: Row) -> Monitor | None:
    if not row["admin_state_up"] or row["provisioning_status"] == _GOING:
        return None
    return Monitor(
        http=row["type"] == "HTTP",  # else there are none of those from the method on
        delay=row["delay"],
        timeout=row["timeout"],
        rise=row["max_retries"],
        fall=row["max_retries_down"],
        method=row["http_method"],
        path=row["url_path"],
        codes=kinds.codes(row["expected_codes"] or ""),
        version=row["http_version"] or 1.0,
        domain=row["domain_name"],
    )
