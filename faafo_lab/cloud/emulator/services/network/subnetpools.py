"""Subnet pools: address space that subnets are cut from.

Every project may cut subnets from the pool `loopback`, whose addresses are the embedded cloud's own: what has one of
them can be reached. Source: https://docs.openstack.org/api-ref/network/v2/#subnet-pools-extension-subnetpools
"""

from __future__ import annotations

import ipaddress
from collections.abc import Mapping
from typing import Any, ClassVar

from faafo_lab.cloud.emulator.common.service import JSON, Fault, Request
from faafo_lab.cloud.emulator.common.store import Row
from faafo_lab.cloud.emulator.services.network.attributes import (
    Attribute,
    boolean,
    cidr,
    each,
    integer,
    optional,
    text,
    uuid,
)
from faafo_lab.cloud.emulator.services.network.base import Collection
from faafo_lab.cloud.emulator.services.network.blocks import Block, free_block

_LENGTH = optional(integer(0, 128))
_BOUNDS = {4: (8, 32), 6: (64, 128)}  # the smallest and the largest prefix length of a pool that says nothing


def prefixes(value: Any) -> list[str]:
    """Blocks, at least one, joined where they are neighbours."""
    found = [ipaddress.ip_network(text) for text in each(cidr)(value)]
    if not found:
        raise ValueError("Subnet pools must have at least one prefix.")
    if len({block.version for block in found}) > 1:
        raise Fault(400, "Cannot mix IPv4 and IPv6 prefixes in a subnet pool.", type="PrefixVersionMismatch")
    return [str(block) for block in ipaddress.collapse_addresses(found)]  # type: ignore[type-var]


class SubnetPools(Collection):
    """Subnet pools."""

    name, plural, title = "subnetpool", "subnetpools", "SubnetPool"
    addressed = ("prefixes",)
    attributes: ClassVar[Mapping[str, Attribute]] = {
        "name": Attribute(text()),
        "description": Attribute(text(), ""),
        "prefixes": Attribute(prefixes),
        "default_prefixlen": Attribute(_LENGTH, None),
        "min_prefixlen": Attribute(_LENGTH, None),
        "max_prefixlen": Attribute(_LENGTH, None),
        "default_quota": Attribute(optional(integer(0)), None),
        "address_scope_id": Attribute(optional(uuid), None),
        "shared": Attribute(boolean, False, put=False),
        "is_default": Attribute(boolean, False),
    }

    def missing(self, id: str) -> Fault:
        """The answer for an id that is not there."""
        return Fault(404, f"Subnet pool {id} could not be found.", type="SubnetPoolNotFound")

    def visible(self, row: Row, project: str) -> bool:
        """Its owner's, and everybody's where it is shared."""
        return bool(row["project_id"] == project or row["shared"])

    def creating(self, request: Request, row: Row) -> Row:
        """Shared pools and the default one are an administrator's."""
        self._admin_only(row)
        return self.bounded(row)

    def updating(self, request: Request, row: Row, changes: JSON) -> JSON:
        """Prefixes may only grow."""
        self._admin_only(changes)
        if "prefixes" in changes:
            new = [ipaddress.ip_network(text) for text in changes["prefixes"]]
            for text in row["prefixes"]:
                old: Any = ipaddress.ip_network(text)
                if not any(old.version == block.version and old.subnet_of(block) for block in new):
                    raise Fault(
                        400,
                        "Illegal update to prefixes: Existing prefixes must be a subset of the new prefixes.",
                        type="IllegalSubnetPoolPrefixUpdate",
                    )
        names = ("prefixes", "default_prefixlen", "min_prefixlen", "max_prefixlen")
        return {**changes, **{name: self.bounded({**row, **changes})[name] for name in names}}

    def deleting(self, row: Row) -> None:
        """Only a pool that no subnet is from."""
        if self.network.subnets.table.where(subnetpool_id=row["id"]):
            raise Fault(
                400,
                "Unable to delete subnet pool: Subnet pool has existing allocations.",
                type="SubnetPoolDeleteError",
            )

    def view(self, row: Row) -> JSON:
        """As Neutron shows it: lengths are texts."""
        lengths = {name: str(row[name]) for name in ("default_prefixlen", "min_prefixlen", "max_prefixlen")}
        return {**row, **lengths}

    def _admin_only(self, values: JSON) -> None:
        if values.get("address_scope_id") is not None:
            reason = f"Address scope {values['address_scope_id']} could not be found."
            raise Fault(404, reason, type="AddressScopeNotFound")
        for name in ("shared", "is_default"):
            if values.get(name):
                raise Fault(403, f"rule:create_subnetpool:{name} is disallowed by policy", type="PolicyNotAuthorized")

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
                raise Fault(
                    400,
                    f"Illegal prefix bounds: {name}={value}, {other}={bound}.",
                    type="IllegalSubnetPoolPrefixBounds",
                )
        lengths = {"min_prefixlen": low, "max_prefixlen": high, "default_prefixlen": length}
        return {**row, **lengths, "ip_version": version}

    # What subnets ask

    def wanted(self, request: Request, id: str | None, version: int, *, default: bool) -> Row | None:
        """The pool that a new subnet is to be from, if any. Raises a `Fault`."""
        if id is None and default:
            found = self.table.where(is_default=True, ip_version=version)
            if not found:
                raise Fault(404, f"No default subnetpool found for IPv{version}", type="NoDefaultSubnetpoolFound")
            return found[0]
        if id is None:
            return None
        pool = self.find(request, id)
        if pool["ip_version"] != version:
            reason = "Bad subnets request: Cannot allocate IPv{} subnet from IPv{} subnet pool."
            raise Fault(400, reason.format(version, pool["ip_version"]), type="BadRequest")
        return pool

    def allocate(self, request: Request, pool: Row, cidr: str | None, length: int | None) -> Block:
        """A block of the pool that no subnet has: the one asked for, or the first. Raises a `Fault`."""
        used = self.network.subnets.table.where(subnetpool_id=pool["id"])
        taken = [ipaddress.ip_network(subnet["cidr"]) for subnet in used]
        length = ipaddress.ip_network(cidr).prefixlen if cidr else length
        length = pool["default_prefixlen"] if length is None else length
        for name, kind, wrong in (
            ("Min", "minimum", length < pool["min_prefixlen"]),
            ("Max", "maximum", length > pool["max_prefixlen"]),
        ):
            if wrong:
                raise Fault(
                    400,
                    f"Unable to allocate subnet with prefix length {length}, {kind} allowed prefix is "
                    f"{pool[f'{name.lower()}_prefixlen']}.",
                    type=f"{name}PrefixSubnetAllocationError",
                )
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
            raise Fault(409, f"Failed to allocate subnet: {reason}.", type="SubnetAllocationError")
        mine = [ipaddress.ip_network(row["cidr"]) for row in used if row["project_id"] == request.project]
        if pool["default_quota"] is not None:
            addresses = sum(each.num_addresses for each in [*mine, block])
            if addresses > pool["default_quota"]:
                raise Fault(409, "Per-tenant subnet pool prefix quota exceeded.", type="SubnetPoolQuotaExceeded")
        return block
