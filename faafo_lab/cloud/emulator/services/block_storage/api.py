"""Block storage (Cinder 3.0): the service. Metadata, types and zones are here."""

from __future__ import annotations

from faafo_lab.cloud.emulator.common.service import JSON, Answer, Fault, Request, route
from faafo_lab.cloud.emulator.common.store import Row, Table
from faafo_lab.cloud.emulator.services.block_storage.actions import METADATA_ITEMS_MAX, VolumeActions
from faafo_lab.cloud.emulator.services.block_storage.base import METADATA, ZONE, forbidden, moment
from faafo_lab.cloud.emulator.services.block_storage.quotas import QUOTAS, QuotaSets
from faafo_lab.cloud.emulator.services.block_storage.snapshots import Snapshots
from faafo_lab.cloud.emulator.services.block_storage.volumes import TYPE, TYPE_ID

EXTENSIONS = {  # those that are here, by alias; hosts and services are an administrator's
    "os-availability-zone": "AvailabilityZones",
    "os-hosts": "Hosts",
    "os-quota-sets": "Quotas",
    "os-services": "Services",
    "os-types-manage": "TypesManage",
    "os-used-limits": "UsedLimits",
    "os-vol-tenant-attr": "VolumeTenantAttribute",
    "os-volume-actions": "VolumeActions",
    "os-extended-snapshot-attributes": "ExtendedSnapshotAttributes",
    "os-vol-image-meta": "VolumeImageMetadata",
}


class Volume(VolumeActions, Snapshots):
    """The block storage service."""

    PARTS = (QuotaSets,)
    QUOTAS = QUOTAS

    def setup(self) -> None:
        """Make the places of volumes and snapshots."""
        self.life.setup()

    # Metadata, of volumes and of snapshots

    def _with_metadata(self, request: Request, kind: str, id: str) -> tuple[Table, Row]:
        if kind == "volumes":
            return self.volumes, self.volume(request, id)
        if kind == "snapshots":
            return self.snapshots, self.snapshot(request, id)
        raise Fault(404, "The resource could not be found.")

    def _keep(self, table: Table, id: str, metadata: JSON) -> JSON:
        if len(metadata) > METADATA_ITEMS_MAX:
            raise Fault(413, f"Maximum number of metadata items exceeds {METADATA_ITEMS_MAX}")
        table.update(id, metadata=metadata, updated_at=moment())
        return metadata

    @route("GET", "/v3/{project}/{kind}/{id}/metadata")
    def metadata(self, request: Request, kind: str, id: str) -> JSON:
        """A volume's or snapshot's metadata."""
        return {"metadata": self._with_metadata(request, kind, id)[1]["metadata"]}

    @route("POST", "/v3/{project}/{kind}/{id}/metadata")
    @route("PUT", "/v3/{project}/{kind}/{id}/metadata")
    def set_metadata(self, request: Request, kind: str, id: str) -> JSON:
        """Add to the metadata (POST), or replace all of it (PUT)."""
        table, row = self._with_metadata(request, kind, id)
        definition = {"type": "object", "required": ["metadata"], "properties": {"metadata": METADATA}}
        wanted = self.parse(request, definition)["metadata"] or {}
        return {
            "metadata": self._keep(table, id, {**row["metadata"], **wanted} if request.method == "POST" else wanted)
        }

    def _item(self, row: Row, key: str) -> JSON:
        if key not in row["metadata"]:
            raise Fault(404, f"Metadata item {key} was not found.")
        return {key: row["metadata"][key]}

    @route("GET", "/v3/{project}/{kind}/{id}/metadata/{key}")
    def metadata_item(self, request: Request, kind: str, id: str, key: str) -> JSON:
        """One item of the metadata."""
        return {"meta": self._item(self._with_metadata(request, kind, id)[1], key)}

    @route("PUT", "/v3/{project}/{kind}/{id}/metadata/{key}")
    def set_metadata_item(self, request: Request, kind: str, id: str, key: str) -> JSON:
        """Set one item of the metadata."""
        table, row = self._with_metadata(request, kind, id)
        one = {**METADATA, "type": "object", "minProperties": 1, "maxProperties": 1}
        wanted = self.parse(request, {"type": "object", "required": ["meta"], "properties": {"meta": one}})["meta"]
        if key not in wanted:
            raise Fault(400, "Request body and URI mismatch")
        self._keep(table, id, {**row["metadata"], **wanted})
        return {"meta": wanted}

    @route("DELETE", "/v3/{project}/{kind}/{id}/metadata/{key}")
    def delete_metadata_item(self, request: Request, kind: str, id: str, key: str) -> Answer:
        """Remove one item of the metadata."""
        table, row = self._with_metadata(request, kind, id)
        gone = self._item(row, key)
        self._keep(table, id, {name: value for name, value in row["metadata"].items() if name not in gone})
        return Answer(200)

    # Types, zones, extensions

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

    @route("POST", "/v3/{project}/types")
    @route("GET", "/v3/{project}/os-hosts")
    @route("GET", "/v3/{project}/os-services")
    def infrastructure(self, request: Request) -> JSON:
        """What only an administrator may see or make."""
        raise forbidden("volume_extension:" + request.path.rsplit("/", 1)[-1])
