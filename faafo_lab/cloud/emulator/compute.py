"""Compute (Nova 2.1): the service. Flavors, key pairs, limits and quotas are here.

`nova` has what all operations share, `wanted` the checks of a new server, `servers` and `actions` the operations on
servers, `attachments` those on their volumes, `lifecycle` what happens to them. Source: https://docs.openstack.org/api-ref/compute/
"""

from __future__ import annotations

import asyncio

from faafo_lab.cloud.emulator import keypairs
from faafo_lab.cloud.emulator.attachments import Attachments
from faafo_lab.cloud.emulator.flavors import FLAVORS, Flavor
from faafo_lab.cloud.emulator.nova import QUOTAS
from faafo_lab.cloud.emulator.service import JSON, Answer, Fault, Request, now, route
from faafo_lab.cloud.emulator.store import Row

KEYPAIR: JSON = {
    "type": "object",
    "required": ["keypair"],
    "properties": {
        "keypair": {
            "type": "object",
            "required": ["name"],
            "additionalProperties": False,
            "properties": {
                "name": {"type": "string", "minLength": 1, "maxLength": 255, "pattern": r"^[a-zA-Z0-9 _-]+$"},
                "public_key": {"type": "string"},
            },
        }
    },
}


class Compute(Attachments):
    """The compute service."""

    # Flavors

    def _flavor_view(self, flavor: Flavor) -> JSON:
        return {
            "id": flavor.id,
            "name": flavor.name,
            "ram": flavor.ram_mb,
            "disk": flavor.disk_gb,
            "swap": "",
            "OS-FLV-EXT-DATA:ephemeral": 0,
            "OS-FLV-DISABLED:disabled": False,
            "vcpus": flavor.vcpus,
            "os-flavor-access:is_public": True,
            "rxtx_factor": 1.0,
            "links": self._links("flavors", flavor.id),
        }

    def _flavors(self, request: Request) -> tuple[list[Flavor], list[JSON]]:
        ram, disk = self._number(request, "minRam") or 0, self._number(request, "minDisk") or 0
        found = [each for each in FLAVORS.values() if each.ram_mb >= ram and each.disk_gb >= disk]
        return self._page(found, request)

    @route("GET", "/v2.1/flavors")
    def flavors(self, request: Request) -> JSON:
        """List flavors."""
        page, links = self._flavors(request)
        views = [{"id": each.id, "name": each.name, "links": self._links("flavors", each.id)} for each in page]
        return {"flavors": views, **({"flavors_links": links} if links else {})}

    @route("GET", "/v2.1/flavors/detail")
    def flavors_detail(self, request: Request) -> JSON:
        """List flavors, with everything."""
        page, links = self._flavors(request)
        return {
            "flavors": [self._flavor_view(each) for each in page],
            **({"flavors_links": links} if links else {}),
        }

    def _flavor(self, id: str) -> Flavor:
        if id not in FLAVORS:
            raise Fault(404, f"Flavor {id} could not be found.")
        return FLAVORS[id]

    @route("GET", "/v2.1/flavors/{id}")
    def flavor(self, request: Request, id: str) -> JSON:
        """Show a flavor."""
        return {"flavor": self._flavor_view(self._flavor(id))}

    @route("GET", "/v2.1/flavors/{id}/os-extra_specs")
    def extra_specs(self, request: Request, id: str) -> JSON:
        """A flavor's extra specs: its CPU cap."""
        return {"extra_specs": self._flavor(id).extra_specs}

    @route("GET", "/v2.1/flavors/{id}/os-extra_specs/{key}")
    def extra_spec(self, request: Request, id: str, key: str) -> JSON:
        """One of a flavor's extra specs."""
        specs = self._flavor(id).extra_specs
        if key not in specs:
            raise Fault(404, f"Flavor {id} has no extra specs with key {key}.")
        return {key: specs[key]}

    # Key pairs

    def _own_keys(self, request: Request) -> list[Row]:
        return sorted(self.keys.where(user_id=request.token.user_id), key=lambda row: str(row["name"]))

    def _key(self, request: Request, name: str) -> Row:
        row = self.keys.get(f"{request.token.user_id}/{name}")
        if row is None:
            raise Fault(404, f"Keypair {name} not found for user {request.token.user_id}")
        return row

    def _key_view(self, row: Row, *names: str) -> JSON:
        return {name: row[name] for name in ("name", "public_key", "fingerprint", *names)}

    @route("GET", "/v2.1/os-keypairs")
    def list_keys(self, request: Request) -> JSON:
        """List key pairs."""
        return {"keypairs": [{"keypair": self._key_view(row)} for row in self._own_keys(request)]}

    @route("POST", "/v2.1/os-keypairs")
    async def create_key(self, request: Request) -> JSON:
        """Import a public key, or make a new pair."""
        wanted = self.parse(request, KEYPAIR)["keypair"]
        user, name = request.token.user_id, wanted["name"]
        secret: JSON = {}
        if "public_key" in wanted:
            public = wanted["public_key"]
        else:
            private, public = await asyncio.to_thread(keypairs.generate, "Generated-by-Nova")
            secret = {"private_key": private}
        try:
            fingerprint = keypairs.fingerprint(public)
        except ValueError:
            raise Fault(400, "Keypair data is invalid: failed to generate fingerprint") from None
        if f"{user}/{name}" in self.keys:
            raise Fault(409, f"Key pair '{name}' already exists.")
        if len(self._own_keys(request)) >= self.limit("key_pairs"):
            raise Fault(403, "Quota exceeded, too many key pairs.")
        row = self.keys.put(
            {
                "id": f"{user}/{name}",
                "number": max((row["number"] for row in self.keys), default=0) + 1,
                "name": name,
                "public_key": public,
                "fingerprint": fingerprint,
                "user_id": user,
                "created_at": now()[:-1] + ".000000",
            }
        )
        return {"keypair": {**self._key_view(row, "user_id"), **secret}}

    @route("GET", "/v2.1/os-keypairs/{name}")
    def show_key(self, request: Request, name: str) -> JSON:
        """Show a key pair."""
        row = self._key(request, name)
        view = {
            **self._key_view(row, "user_id", "created_at"),
            "id": row["number"],
            "deleted": False,
            "deleted_at": None,
            "updated_at": None,
        }
        return {"keypair": view}

    @route("DELETE", "/v2.1/os-keypairs/{name}")
    def delete_key(self, request: Request, name: str) -> Answer:
        """Delete a key pair; servers that have the key keep it."""
        self.keys.delete(self._key(request, name)["id"])
        return Answer(202)

    # Limits and quotas

    @route("GET", "/v2.1/limits")
    def limits(self, request: Request) -> JSON:
        """The project's limits, and what it uses of them."""
        used = self.used(request.project)
        absolute = {
            "maxServerMeta": self.limit("metadata_items"),
            "maxPersonality": self.limit("injected_files"),
            "totalServerGroupsUsed": 0,
            "maxImageMeta": self.limit("metadata_items"),
            "maxPersonalitySize": self.limit("injected_file_content_bytes"),
            "maxTotalKeypairs": self.limit("key_pairs"),
            "maxSecurityGroupRules": self.limit("security_group_rules"),
            "maxServerGroups": self.limit("server_groups"),
            "totalCoresUsed": used["cores"],
            "totalRAMUsed": used["ram"],
            "totalInstancesUsed": used["instances"],
            "maxSecurityGroups": self.limit("security_groups"),
            "totalFloatingIpsUsed": 0,
            "maxTotalCores": self.limit("cores"),
            "maxServerGroupMembers": self.limit("server_group_members"),
            "maxTotalFloatingIps": self.limit("floating_ips"),
            "totalSecurityGroupsUsed": 0,
            "maxTotalInstances": self.limit("instances"),
            "maxTotalRAMSize": self.limit("ram"),
        }
        return {"limits": {"rate": [], "absolute": absolute}}

    def _own_quota(self, request: Request, project: str) -> None:
        if project != request.project:
            raise Fault(403, "Policy doesn't allow os_compute_api:os-quota-sets:show to be performed.")

    @route("GET", "/v2.1/os-quota-sets/{project}")
    def quota(self, request: Request, project: str) -> JSON:
        """The project's limits."""
        self._own_quota(request, project)
        return {"quota_set": {"id": project, **{name: self.limit(name) for name in QUOTAS}}}

    @route("GET", "/v2.1/os-quota-sets/{project}/defaults")
    def default_quota(self, request: Request, project: str) -> JSON:
        """Every project's limits."""
        return {"quota_set": {"id": project, **{name: self.limit(name) for name in QUOTAS}}}

    @route("GET", "/v2.1/os-quota-sets/{project}/detail")
    def quota_detail(self, request: Request, project: str) -> JSON:
        """The project's limits, and what it uses of them."""
        self._own_quota(request, project)
        used = {**self.used(project), "key_pairs": len(self._own_keys(request))}
        items = {name: {"in_use": used.get(name, 0), "limit": self.limit(name), "reserved": 0} for name in QUOTAS}
        return {"quota_set": {"id": project, **items}}

    @route("GET", "/v2.1/os-availability-zone")
    def zones(self, request: Request) -> JSON:
        """The one availability zone."""
        return {"availabilityZoneInfo": [{"zoneName": "nova", "zoneState": {"available": True}, "hosts": None}]}

    @route("GET", "/v2.1/os-availability-zone/detail")
    def zones_detail(self, request: Request) -> JSON:
        """The zone's hosts, which only an administrator may see."""
        raise Fault(403, "Policy doesn't allow os_compute_api:os-availability-zone:detail to be performed.")

    @route("GET", "/v2.1/extensions")
    def extensions(self, request: Request) -> JSON:
        """Nova's extensions are history: only those that clients still look for."""
        found = [("Keypairs", "os-keypairs"), ("Quotas", "os-quota-sets"), ("SecurityGroups", "os-security-groups")]
        return {
            "extensions": [
                {
                    "alias": alias,
                    "description": name,
                    "links": [],
                    "name": name,
                    "namespace": "http://docs.openstack.org/compute/ext/fake_xml",
                    "updated": "2014-12-03T00:00:00Z",
                }
                for name, alias in found
            ]
        }
