"""A project's limits and quotas. Source: https://docs.openstack.org/api-ref/block-storage/v3/#quota-sets-extension"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, NoReturn

from faafo_lab.cloud.emulator.common.quotas import Over
from faafo_lab.cloud.emulator.common.service import JSON, Fault, Request, route
from faafo_lab.cloud.emulator.common.store import Store
from faafo_lab.cloud.emulator.services.block_storage.stock import Part
from faafo_lab.cloud.emulator.services.block_storage.words import forbidden, truth

QUOTAS = {
    "volumes": 10,
    "snapshots": 10,
    "gigabytes": 1000,  # of volumes and snapshots together
    "per_volume_gigabytes": -1,
    "backups": 10,
    "backup_gigabytes": 1000,
    "groups": 0,  # there are none
}


def used(store: Store) -> Callable[[str, str], int]:
    """Says how much a project has of what a quota names."""
    volumes, snapshots, backups = (store.table(kind) for kind in ("volume", "volume_snapshot", "volume_backup"))
    counted = {
        "volumes": (volumes,),
        "snapshots": (snapshots,),
        "gigabytes": (volumes, snapshots),
        **dict.fromkeys(("backups", "backup_gigabytes"), (backups,)),
    }

    def count(project: str, name: str) -> int:
        rows = [row for table in counted.get(name, ()) for row in table.where(project_id=project)]
        return sum(row["size"] for row in rows) if name.endswith("gigabytes") else len(rows)

    return count


def refusal(overs: Sequence[Over]) -> Fault:
    """The answer to a claim, by the first limit that it exceeds."""
    over = overs[0]
    consumed = f"quota. Requested {over.wanted}G, quota is {over.limit}G and {over.used}G has been consumed."
    match over.name:
        case "gigabytes":
            why = f"VolumeSizeExceedsAvailableQuota: Requested volume or snapshot exceeds allowed gigabytes {consumed}"
        case "backup_gigabytes":
            why = f"VolumeBackupSizeExceedsAvailableQuota: Requested backup exceeds allowed Backup gigabytes {consumed}"
        case "per_volume_gigabytes":
            why = (
                f"VolumeSizeExceedsLimit: Requested volume size {over.wanted}G is larger than maximum allowed limit "
                f"{over.limit}G."
            )
        case kind:
            title = f"{kind.removesuffix('s').capitalize()}LimitExceeded"
            why = f"{title}: Maximum number of {kind} allowed ({over.limit}) exceeded for quota '{kind}'."
    return Fault(413, why, headers={"Retry-After": "0"})


class QuotaSets(Part):
    """What a project may have, and has."""

    @route("GET", "/v3/{project}/limits")
    def limits(self, request: Request) -> JSON:
        """The project's limits, and what it uses of them."""
        absolute = {}
        for name, suffix in (
            *(("volumes", "Volumes"), ("snapshots", "Snapshots"), ("gigabytes", "Gigabytes")),
            *(("backups", "Backups"), ("backup_gigabytes", "BackupGigabytes")),
        ):
            most = "VolumeGigabytes" if name == "gigabytes" else suffix
            absolute[f"maxTotal{most}"] = self._quotas.limit(name)
            absolute[f"total{suffix}Used"] = self._quotas.used(request.project, name)
        return {"limits": {"rate": [], "absolute": absolute}}

    @route("GET", "/v3/{project}/os-quota-sets/{id}")
    def show(self, request: Request, id: str) -> JSON:
        """The project's limits, and with `usage` what it uses of them."""
        if id != request.project:
            raise forbidden("volume_extension:quotas:show")
        limits: dict[str, Any] = self._quotas.limits()
        if truth(request.one("usage"), "usage"):
            limits = self._quotas.usage(id, "in_use")
        return {"quota_set": {"id": id, **limits}}

    @route("GET", "/v3/{project}/os-quota-sets/{id}/defaults")
    def defaults(self, request: Request, id: str) -> JSON:
        """Every project's limits."""
        return {"quota_set": {"id": id, **self._quotas.limits()}}

    @route("PUT", "/v3/{project}/os-quota-sets/{id}")
    @route("DELETE", "/v3/{project}/os-quota-sets/{id}")
    def change(self, request: Request, id: str) -> NoReturn:
        """What only an administrator may change."""
        raise forbidden("volume_extension:quotas:update")
