"""The one volume type and the one zone, and what an administrator might see beside them."""

from __future__ import annotations

from faafo_lab.cloud.emulator.common.service import JSON, Fault, Request, route
from faafo_lab.cloud.emulator.services.block_storage import versions
from faafo_lab.cloud.emulator.services.block_storage.base import TYPE, TYPE_ID, ZONE
from faafo_lab.cloud.emulator.services.block_storage.stock import Part
from faafo_lab.cloud.emulator.services.block_storage.words import forbidden

EXTENSIONS = {  # those that are here, by alias; hosts and services are an administrator's
    "backups": "Backups",
    "os-availability-zone": "AvailabilityZones",
    "os-hosts": "Hosts",
    "os-quota-sets": "Quotas",
    "os-services": "Services",
    "os-types-manage": "TypesManage",
    "os-used-limits": "UsedLimits",
    "os-vol-tenant-attr": "VolumeTenantAttribute",
    "os-volume-actions": "VolumeActions",
    "os-volume-transfer": "VolumeTransfer",
    "os-extended-snapshot-attributes": "ExtendedSnapshotAttributes",
    "os-vol-image-meta": "VolumeImageMetadata",
}


class Types(Part):
    """What volumes are made of."""

    def _type(self) -> JSON:
        return {
            "id": TYPE_ID,
            "name": TYPE,
            "description": "A directory of the embedded cloud's state",
            "is_public": True,
            "os-volume-type-access:is_public": True,
            "extra_specs": {},
        }

    @route("GET", "/v3/{project}/types")
    def types(self, request: Request) -> JSON:
        """The one volume type."""
        return {"volume_types": [self._type()]}

    @route("GET", "/v3/{project}/types/{id}")
    def type_(self, request: Request, id: str) -> JSON:
        """Show the volume type, which is the default one, too."""
        if id not in (TYPE_ID, "default"):
            raise Fault(404, f"Volume type {id} could not be found.")
        return {"volume_type": self._type()}

    @route("GET", "/v3/{project}/os-availability-zone")
    def zones(self, request: Request) -> JSON:
        """The one availability zone."""
        return {"availabilityZoneInfo": [{"zoneName": ZONE, "zoneState": {"available": True}}]}

    @route("GET", "/v3/{project}/extensions")
    def extensions(self, request: Request) -> JSON:
        """Cinder's extensions are history: those that are here."""
        views = [
            {"alias": alias, "name": name, "description": name, "links": [], "updated": "2013-04-18T00:00:00+00:00"}
            for alias, name in EXTENSIONS.items()
        ]
        return {"extensions": views}

    @route("GET", "/v3/{project}/types/{id}/extra_specs")
    def extra_specs(self, request: Request, id: str) -> JSON:
        """What an ordinary user may see of the volume type's extra specs."""
        return {"extra_specs": self.type_(request, id)["volume_type"]["extra_specs"]}

    @route("POST", "/v3/{project}/groups", versions=versions.GROUPS)
    @route("POST", "/v3/{project}/group_snapshots", versions=versions.GROUP_SNAPSHOTS)
    def create_group(self, request: Request) -> JSON:
        """There are no groups of volumes: a project may have 0 of them."""
        self._quotas.claim(request.project, {"groups": 1})
        raise forbidden("group:create")

    @route("POST", "/v3/{project}/types")
    @route("POST", "/v3/{project}/consistencygroups")
    @route("GET", "/v3/{project}/qos-specs")
    @route("GET", "/v3/{project}/scheduler-stats/get_pools")
    @route("GET", "/v3/{project}/os-hosts")
    @route("GET", "/v3/{project}/os-services")
    @route("GET", "/v3/{project}/clusters")
    @route("GET", "/v3/{project}/manageable_volumes")
    @route("GET", "/v3/{project}/manageable_snapshots")
    @route("POST", "/v3/{project}/group_types", versions=versions.GROUP_TYPES)
    @route("GET", "/v3/{project}/default-types", versions=versions.DEFAULT_TYPES)
    @route("PUT", "/v3/{project}/default-types/{id}", versions=versions.DEFAULT_TYPES)
    def infrastructure(self, request: Request, id: str = "") -> JSON:
        """What only an administrator may see or make, and groups, which nobody may."""
        raise forbidden("volume_extension:" + request.path.rsplit("/", 1)[-1])
