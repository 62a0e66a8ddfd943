"""What projects share with each other (RBAC policies), and what only groups addresses: address groups and scopes.

Source: https://docs.openstack.org/api-ref/network/v2/#rbac-policies
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import ClassVar

from faafo_lab.cloud.emulator.common.service import JSON, Request, route
from faafo_lab.cloud.emulator.common.store import Row
from faafo_lab.cloud.emulator.services.network import checks
from faafo_lab.cloud.emulator.services.network.base import Collection
from faafo_lab.cloud.emulator.services.network.checks import NAMED, Attribute
from faafo_lab.cloud.emulator.services.network.words import invalid, refused

SHAREABLE = ("address_group", "address_scope", "network", "security_group", "subnetpool")
EVERYBODY = "*"


class RbacPolicies(Collection):
    """RBAC policies: each shares one resource with one project."""

    name, plural, title = "rbac_policy", "rbac_policies", "RbacPolicy"
    bare = True
    attributes: ClassVar[Mapping[str, Attribute]] = {
        "object_type": Attribute(checks.choice(*SHAREABLE), put=False),
        "object_id": Attribute(checks.uuid, put=False),
        "action": Attribute(checks.choice("access_as_shared"), put=False),
        "target_tenant": Attribute(checks.text()),
    }

    def share(self, id: str, project: str) -> bool:
        """Whether a policy lets this project use the resource."""
        return any(row["target_tenant"] in (project, EVERYBODY) for row in self.table.where(object_id=id))

    def forget(self, id: str) -> None:
        """A resource goes, and what shares it."""
        for row in self.table.where(object_id=id):
            self.table.delete(row["id"])

    def creating(self, request: Request, row: Row) -> Row:
        """Only what is one's own is shared, with a project at a time; once with each."""
        shared = next(kind for kind in self.network.collections.values() if kind.name == row["object_type"])
        shared.own(request, row["object_id"])
        self._check_target(row)
        if self.table.where(object_id=row["object_id"], target_tenant=row["target_tenant"]):
            raise refused("DuplicateRbacPolicy")
        return row

    def updating(self, request: Request, row: Row, changes: JSON) -> JSON:
        """It is shared with another project: the one of before must no longer use it."""
        self._check_target(changes)
        if changes.get("target_tenant", row["target_tenant"]) != row["target_tenant"]:
            self.deleting(row)
        return changes

    def _check_target(self, values: JSON) -> None:
        if values.get("target_tenant") == EVERYBODY:
            raise refused("PolicyNotAuthorized", "rule:create_rbac_policy:target_tenant")

    def deleting(self, row: Row) -> None:
        """Only where the other project has nothing left that needs it."""
        id, project = row["object_id"], row["target_tenant"]
        network = self.network
        used = [
            *network.ports.table.where(network_id=id, project_id=project),
            *network.subnets.table.where(subnetpool_id=id, project_id=project),
            *network.subnet_pools.table.where(address_scope_id=id, project_id=project),
            *network.rules.table.where(remote_group_id=id, project_id=project),
            *network.rules.table.where(remote_address_group_id=id, project_id=project),
            *(port for port in network.ports.table.where(project_id=project) if id in port["security_groups"]),
        ]
        if used:
            raise refused("RbacPolicyInUse", id)


class AddressScopes(Collection):
    """Address scopes: what subnet pools have in common whose addresses don't overlap."""

    name, plural, title = "address_scope", "address_scopes", "AddressScope"
    bare = True
    attributes: ClassVar[Mapping[str, Attribute]] = {
        "name": Attribute(checks.text(), ""),
        "ip_version": Attribute(checks.choice(4, 6), put=False),
        "shared": Attribute(checks.boolean, False, operators=True),
    }

    def deleting(self, row: Row) -> None:
        """Only one that no subnet pool is in."""
        if self.network.subnet_pools.table.where(address_scope_id=row["id"]):
            raise refused("AddressScopeInUse", row["id"])


class AddressGroups(Collection):
    """Address groups: blocks of addresses that security group rules name all at once."""

    name, plural, title = "address_group", "address_groups", "AddressGroup"
    addressed = ("addresses",)
    attributes: ClassVar[Mapping[str, Attribute]] = {
        **NAMED,
        "addresses": Attribute(checks.each(checks.cidr), [], put=False),
    }

    def creating(self, request: Request, row: Row) -> Row:
        """Each block counts once."""
        return {**row, "addresses": list(dict.fromkeys(row["addresses"]))}

    def deleting(self, row: Row) -> None:
        """Only one that no rule names."""
        if self.network.rules.table.where(remote_address_group_id=row["id"]):
            raise refused("AddressGroupInUse", row["id"])

    @route("PUT", "/v2.0/address-groups/{id}/add_addresses")
    @route("PUT", "/v2.0/address-groups/{id}/remove_addresses")
    def change_addresses(self, request: Request, id: str) -> JSON:
        """Add blocks to an address group, or remove some: none of them, or all, may be there. Raises a `Fault`."""
        row = self.own(request, id)
        try:
            blocks = list(dict.fromkeys(checks.each(checks.cidr)(request.parse().get("addresses"))))
        except ValueError as error:
            raise invalid("addresses", str(error)) from None
        there = [block for block in blocks if block in row["addresses"]]
        missing = [block for block in blocks if block not in row["addresses"]]
        adds = request.path.endswith("/add_addresses")
        if adds and there:
            raise refused("AddressesAlreadyExist", there, id)
        if not adds and missing:
            raise refused("AddressesNotFound", missing, id)
        kept = row["addresses"] + blocks if adds else [each for each in row["addresses"] if each not in blocks]
        return {self.name: self.touch(id, addresses=kept)}
