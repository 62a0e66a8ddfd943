"""Ports: what connects an instance or a router to a network."""

from __future__ import annotations

import ipaddress
import itertools
import secrets
from collections.abc import Mapping
from typing import Any, ClassVar

from faafo_lab.cloud.emulator.common.service import JSON, Request
from faafo_lab.cloud.emulator.common.store import Row
from faafo_lab.cloud.emulator.services.network import checks
from faafo_lab.cloud.emulator.services.network.base import Collection
from faafo_lab.cloud.emulator.services.network.blocks import eui64
from faafo_lab.cloud.emulator.services.network.checks import NAMED, REQUIRED, Attribute
from faafo_lab.cloud.emulator.services.network.dhcp import mac, merged, option, pair, pairs_of
from faafo_lab.cloud.emulator.services.network.words import invalid, refused


class Ports(Collection):
    """Ports: what connects an instance or a router to a network."""

    name, plural, title = "port", "ports", "Port"
    addressed = ("fixed_ips", "allowed_address_pairs", "extra_dhcp_opts")
    also = ("status",)
    attributes: ClassVar[Mapping[str, Attribute]] = {
        **NAMED,
        "network_id": Attribute(checks.uuid, put=False),
        "admin_state_up": Attribute(checks.boolean, True),
        "mac_address": Attribute(checks.optional(mac), None, put=False),
        "fixed_ips": Attribute(checks.optional(checks.each(checks.mapping)), None),
        "device_id": Attribute(checks.text(), ""),
        "device_owner": Attribute(checks.text(), ""),
        "security_groups": Attribute(checks.optional(checks.each(checks.uuid)), REQUIRED),
        "allowed_address_pairs": Attribute(checks.optional(checks.each(pair)), []),
        "extra_dhcp_opts": Attribute(checks.optional(checks.each(option)), []),
        "binding:vnic_type": Attribute(checks.choice("normal"), "normal"),
        "port_security_enabled": Attribute(checks.boolean, True),
    }

    def _checked(self, item: JSON, request: Request, *, new: bool) -> JSON:
        if new and "security_groups" not in item:  # without a word about them, the default group
            item = {**item, "security_groups": [self.network.groups.default(request.project)["id"]]}
        values = super()._checked(item, request, new=new)
        for id in values.get("security_groups") or ():
            self.network.groups.find(request, id)
        if "security_groups" in values:
            values["security_groups"] = list(dict.fromkeys(values["security_groups"] or ()))
        return values

    def creating(self, request: Request, row: Row) -> Row:
        """Give it addresses and a MAC address."""
        network = self.network.networks.find(request, row["network_id"])
        if network["router:external"] and network["project_id"] != request.project:
            raise refused("NotAuthorized", request.project)
        return self.complete(network, row)

    def complete(self, network: Row, row: Row) -> Row:
        """A new port with what it was not given: addresses and a MAC address. Raises a `Fault`."""
        own = row["mac_address"] or new_mac()
        if self.table.where(network_id=network["id"], mac_address=own):
            raise refused("MacAddressInUse", network["id"], own)
        return {
            **row,
            "fixed_ips": self.addresses(network, row["fixed_ips"], own, owner=row["device_owner"]),
            "mac_address": own,
            "allowed_address_pairs": pairs_of(own, row["allowed_address_pairs"] or []),
            "extra_dhcp_opts": merged([], row["extra_dhcp_opts"] or []),
            "status": "DOWN",
        }

    def addresses(
        self, network: Row, wanted: list[JSON] | None, mac: str, keep: frozenset[str] = frozenset(), owner: str = ""
    ) -> list[JSON]:
        """The fixed addresses asked for, or the network's first free ones for ports of this owner. Raises a `Fault`.

        Those in `keep` are the port's already.
        """
        subnets = sorted(self.network.subnets.table.where(network_id=network["id"]), key=lambda row: row["created_at"])
        meant = [subnet for subnet in subnets if owner in (subnet["service_types"] or [owner])]
        if wanted is None and subnets and not meant:
            raise refused("IpAddressGenerationFailureNoMatchingSubnet")
        groups = [subnets] * len(wanted) if wanted is not None else self._one_of_each(meant)
        found: list[JSON] = []
        for item, group in zip([{}] * len(groups) if wanted is None else wanted, groups, strict=True):
            subnet_id, ip = item.get("subnet_id"), item.get("ip_address")
            if not set(item) <= {"subnet_id", "ip_address"}:
                raise invalid("fixed_ips", f"{sorted(item)} do not match the valid keys: subnet_id, ip_address.")
            here = [subnet for subnet in group if subnet_id in (None, subnet["id"])]
            if not here:
                raise refused("SubnetNotFound", subnet_id)
            taken = frozenset(each["ip_address"] for each in found)
            if ip is None:
                subnet, ip = self._free(network, here, mac, taken, keep)
            else:
                subnet, ip = self._fixed(network, here, ip, taken, keep)
            found.append({"subnet_id": subnet["id"], "ip_address": ip})
        return found

    def _one_of_each(self, subnets: list[Row]) -> list[list[Row]]:
        """Where a port gets addresses by itself: of one subnet of each IP version, and of all automatic ones."""
        automatic = [[subnet] for subnet in subnets if self.network.subnets.automatic(subnet)]
        given = [subnet for subnet in subnets if not self.network.subnets.automatic(subnet)]
        versions = [[subnet for subnet in given if subnet["ip_version"] == version] for version in (4, 6)]
        return [group for group in (*versions, *automatic) if group]

    def _free(
        self, network: Row, subnets: list[Row], mac: str, taken: frozenset[str], keep: frozenset[str]
    ) -> tuple[Row, str]:
        """An address that the port has, or the first free one."""
        for subnet in subnets:
            if self.network.subnets.automatic(subnet):
                return subnet, eui64(ipaddress.ip_network(subnet["cidr"]), mac)
            block = ipaddress.ip_network(subnet["cidr"])
            kept = sorted(ip for ip in keep if ipaddress.ip_address(ip) in block)
            for ip in itertools.chain(kept, self.network.subnets.free(subnet)):
                if ip not in taken:
                    return subnet, ip
        raise refused("IpAddressGenerationFailure", network["id"])

    def _fixed(
        self, network: Row, subnets: list[Row], ip: Any, taken: frozenset[str], keep: frozenset[str]
    ) -> tuple[Row, str]:
        """The address that was asked for, where it can be had."""
        try:
            ip = checks.address(ip)
        except ValueError as error:
            raise invalid("fixed_ips", str(error)) from None
        number = ipaddress.ip_address(ip)
        fits = [subnet for subnet in subnets if number in ipaddress.ip_network(subnet["cidr"])]
        if not fits:
            raise refused("InvalidIpForSubnet", ip)
        if ip in taken or (ip in self.network.taken(network["id"]) and ip not in keep):
            raise refused("IpAddressInUse", network["id"], ip)
        return fits[0], ip

    def updating(self, request: Request, row: Row, changes: JSON) -> JSON:
        """New addresses come from the same network; DHCP options are changed one by one."""
        if "fixed_ips" in changes:
            keep = frozenset(ip["ip_address"] for ip in row["fixed_ips"])
            network = self.network.networks.table[row["network_id"]]
            changes["fixed_ips"] = self.addresses(network, changes["fixed_ips"] or [], row["mac_address"], keep)
        if "allowed_address_pairs" in changes:
            changes["allowed_address_pairs"] = pairs_of(row["mac_address"], changes["allowed_address_pairs"] or [])
        if "extra_dhcp_opts" in changes:
            changes["extra_dhcp_opts"] = merged(row["extra_dhcp_opts"], changes["extra_dhcp_opts"] or [])
        return changes

    def deleting(self, row: Row) -> None:
        """A router's own ports go with the router; a floating IP is free again."""
        if row["device_owner"].startswith("network:router"):
            raise refused("ServicePortInUse", row["id"], row["device_owner"])
        self.network.floating_ips.release(row["id"])

    def plug(self, project: str, values: JSON, owned: JSON) -> Row:
        """Make an instance's port: `owned` says whose it is. Raises a `Fault`."""
        row = self.complete(self.network.networks.table[values["network_id"]], self.new(project, {**values, **owned}))
        self.network.quotas.claim(project, {self.name: 1})
        return self.table.put({**row, **owned})

    def networks(self) -> dict[str, str]:
        """The network of each fixed address."""
        return {ip["ip_address"]: port["network_id"] for port in self.table for ip in port["fixed_ips"]}

    def remove(self, id: str) -> None:
        """Delete a port that belongs to an instance or a router."""
        with self.network.store.transaction():
            self.network.floating_ips.release(id)
            self.table.delete(id)


def new_mac() -> str:
    """A MAC address as Neutron gives them."""
    return "fa:16:3e:" + ":".join(f"{byte:02x}" for byte in secrets.token_bytes(3))
