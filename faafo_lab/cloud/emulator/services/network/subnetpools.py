"""Subnet pools: address space that subnets are cut from.

Every project may cut subnets from the pool `loopback`, whose addresses are the embedded cloud's own: what has one of
them can be reached. Source: https://docs.openstack.org/api-ref/network/v2/#subnet-pools-extension-subnetpools
"""

from __future__ import annotations

import ipaddress
from collections.abc import Mapping
from typing import Any, ClassVar

from faafo_lab.cloud.emulator.common.service import JSON, Request
from faafo_lab.cloud.emulator.common.store import Row
from faafo_lab.cloud.emulator.services.network import checks
from faafo_lab.cloud.emulator.services.network.base import Collection
from faafo_lab.cloud.emulator.services.network.blocks import Block, free_block
from faafo_lab.cloud.emulator.services.network.checks import Attribute
from faafo_lab.cloud.emulator.services.network.words import refused

_LENGTH = checks.optional(checks.integer(0, 128))
_BOUNDS = {4: (8, 32), 6: (64, 128)}  # the smallest and the largest prefix length of a pool that says nothing


def prefixes(value: Any) -> list[str]:
    """Blocks, at least one, joined where they are neighbours."""
    found = [ipaddress.ip_network(text) for text in checks.each(checks.cidr)(value)]
    if not found:
        raise ValueError("Subnet pools must have at least one prefix.")
    if len({block.version for block in found}) > 1:
        raise refused("PrefixVersionMismatch")
    return [str(block) for block in ipaddress.collapse_addresses(found)]  # type: ignore[type-var]


class SubnetPools(Collection):
    """Subnet pools."""

    name, plural, title = "subnetpool", "subnetpools", "SubnetPool"
    addressed = ("prefixes",)
    also = ("ip_version",)
    attributes: ClassVar[Mapping[str, Attribute]] = {
        "name": Attribute(checks.text()),
        "description": Attribute(checks.text(), ""),
        "prefixes": Attribute(prefixes),
        "default_prefixlen": Attribute(_LENGTH, None),
        "min_prefixlen": Attribute(_LENGTH, None),
        "max_prefixlen": Attribute(_LENGTH, None),
        "default_quota": Attribute(checks.optional(checks.integer(0)), None),
        "address_scope_id": Attribute(checks.optional(checks.uuid), None),
        "shared": Attribute(checks.boolean, False, put=False, operators=True),
        "is_default": Attribute(checks.boolean, False, operators=True),
    }

    def creating(self, request: Request, row: Row) -> Row:
        """Its lengths fit each other, and its address scope."""
        return self.bounded(self._in_scope(request, row))

    def updating(self, request: Request, row: Row, changes: JSON) -> JSON:
        """Prefixes may only grow."""
        if "prefixes" in changes:
            new = [ipaddress.ip_network(text) for text in changes["prefixes"]]
            for text in row["prefixes"]:
                old: Any = ipaddress.ip_network(text)
                if not any(old.version == block.version and old.subnet_of(block) for block in new):
                    raise refused("IllegalSubnetPoolPrefixUpdate")
        names = ("prefixes", "default_prefixlen", "min_prefixlen", "max_prefixlen")
        whole = self.bounded(self._in_scope(request, {**row, **changes}))
        return {**changes, **{name: whole[name] for name in names}}

    def deleting(self, row: Row) -> None:
        """Only a pool that no subnet is from."""
        if self.network.subnets.table.where(subnetpool_id=row["id"]):
            raise refused("SubnetPoolDeleteError")

    def view(self, row: Row) -> JSON:
        """As Neutron shows it: lengths are texts."""
        lengths = {name: str(row[name]) for name in ("default_prefixlen", "min_prefixlen", "max_prefixlen")}
        return {**row, **lengths}

    def _in_scope(self, request: Request, row: Row) -> Row:
        """The row, whose address scope has room for it. Raises a `Fault`."""
        scope = row["address_scope_id"] and self.network.address_scopes.find(request, row["address_scope_id"])
        blocks: list[Any] = [ipaddress.ip_network(text) for text in row["prefixes"]]
        if scope and scope["ip_version"] != blocks[0].version:
            type = "IllegalSubnetPoolIpVersionAssociationToAddressScope"
            raise refused(type, row["id"], scope["id"], scope["ip_version"])
        for other in self.table.where(address_scope_id=scope["id"]) if scope else ():
            if other["id"] != row["id"] and any(
                block.overlaps(ipaddress.ip_network(text)) for block in blocks for text in other["prefixes"]
            ):
                raise refused("AddressScopePrefixConflict")
        return row

    def bounded(self, row: Row) -> Row:
        """A row with its IP version and all its lengths. Raises a 400 `Fault`."""
        version = ipaddress.ip_network(row["prefixes"][0]).version
        low, high = _BOUNDS[version]
        low = low if row["min_prefixlen"] is None else row["min_prefixlen"]
        high = high if row["max_prefixlen"] is None else row["max_prefixlen"]
        length = low if row["default_prefixlen"] is None else row["default_prefixlen"]
        for (name, value), (other, bound) in (
            (("min_prefixlen", low), ("max_prefixlen", high)),
            (("min_prefixlen", low), ("default_prefixlen", length)),
            (("default_prefixlen", length), ("max_prefixlen", high)),
            (("max_prefixlen", high), ("address_length", 32 if version == 4 else 128)),
        ):
            if value > bound:
                raise refused("IllegalSubnetPoolPrefixBounds", name, value, other, bound)
        lengths = {"min_prefixlen": low, "max_prefixlen": high, "default_prefixlen": length}
        return {**row, **lengths, "ip_version": version}

    # What subnets ask

    def wanted(self, request: Request, id: str | None, version: int, *, default: bool) -> Row | None:
        """The pool that a new subnet is to be from, if any. Raises a `Fault`."""
        if id is None and default:
            found = self.table.where(is_default=True, ip_version=version)
            if not found:
                raise refused("NoDefaultSubnetpoolFound", version)
            return found[0]
        if id is None:
            return None
        pool = self.find(request, id)
        if pool["ip_version"] != version:
            reason = f"Cannot allocate IPv{version} subnet from IPv{pool['ip_version']} subnet pool"
            raise refused("BadRequest", "subnets", reason)
        return pool

    def allocate(self, request: Request, pool: Row, cidr: str | None, length: int | None) -> Block:
        """A block of the pool that no subnet has: the one asked for, or the first. Raises a `Fault`."""
        used = self.network.subnets.table.where(subnetpool_id=pool["id"])
        taken = [ipaddress.ip_network(subnet["cidr"]) for subnet in used]
        length = ipaddress.ip_network(cidr).prefixlen if cidr else length
        length = pool["default_prefixlen"] if length is None else length
        if length < pool["min_prefixlen"]:
            raise refused("MinPrefixSubnetAllocationError", length, "minimum", pool["min_prefixlen"])
        if length > pool["max_prefixlen"]:
            raise refused("MaxPrefixSubnetAllocationError", length, "maximum", pool["max_prefixlen"])
        if cidr is None:
            block = free_block(pool["prefixes"], taken, length)
            reason = f"Insufficient prefix space to allocate subnet size /{length}"
        else:
            wanted: Any = ipaddress.ip_network(cidr)
            inside = any(wanted.version == pool["ip_version"] and wanted.subnet_of(ipaddress.ip_network(text))
                         for text in pool["prefixes"])  # fmt: skip
            block = wanted if inside and not any(wanted.overlaps(other) for other in taken) else None
            reason = "Cannot allocate requested subnet from the available set of prefixes"
        if block is None:
            raise refused("SubnetAllocationError", reason)
        mine = [ipaddress.ip_network(row["cidr"]) for row in used if row["project_id"] == request.project]
        if pool["default_quota"] is not None:
            addresses = sum(each.num_addresses for each in [*mine, block])
            if addresses > pool["default_quota"]:
                raise refused("SubnetPoolQuotaExceeded")
        return block
