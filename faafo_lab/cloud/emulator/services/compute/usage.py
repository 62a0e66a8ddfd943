"""What a project has used: the hours of its servers, and their vCPUs, memory and disk.

Source: https://docs.openstack.org/api-ref/compute/#usage-reports-os-simple-tenant-usage
"""

from __future__ import annotations

import time
from datetime import UTC, datetime

from faafo_lab.cloud.emulator.common.service import JSON, Fault, Request, route
from faafo_lab.cloud.emulator.services.compute import versions
from faafo_lab.cloud.emulator.services.compute.base import denied
from faafo_lab.cloud.emulator.services.compute.flavors import FLAVORS
from faafo_lab.cloud.emulator.services.compute.rows import ServerRow
from faafo_lab.cloud.emulator.services.compute.server_filters import moment_of
from faafo_lab.cloud.emulator.services.compute.servers import Part

TOTALS = {"total_vcpus_usage": "vcpus", "total_memory_mb_usage": "memory_mb", "total_local_gb_usage": "local_gb"}


class Usage(Part):
    """Usage reports. Moments are seconds since the epoch."""

    @route("GET", "/v2.1/os-simple-tenant-usage")
    def list_usage(self, request: Request) -> JSON:
        """What every project has used, which only an administrator may see."""
        if not request.admin:
            raise denied("os_compute_api:os-simple-tenant-usage:list")
        start, stop = _asked(request)
        rows, more = self._page(request, None, start, stop, "tenant_usages_links")
        usages = []
        for project in sorted({row["project_id"] for row in rows}):
            usage = _usage([row for row in rows if row["project_id"] == project], start, stop)
            if request.one("detailed") != "1":
                del usage["server_usages"]
            usages.append(usage)
        return {"tenant_usages": usages, **more}

    @route("GET", "/v2.1/os-simple-tenant-usage/{project}")
    def show_usage(self, request: Request, project: str) -> JSON:
        """What the project has used, with each of its servers, deleted ones too."""
        if project != request.project and not request.admin:
            raise denied("os_compute_api:os-simple-tenant-usage:show")
        start, stop = _asked(request)
        rows, more = self._page(request, project, start, stop, "tenant_usage_links")
        return {"tenant_usage": _usage(rows, start, stop) if rows else {}, **more}

    def _page(
        self, request: Request, project: str | None, start: float, stop: float, links: str
    ) -> tuple[list[ServerRow], JSON]:
        """The servers that ran in this time, and since 2.40 a page of them."""
        servers = [*self._servers.table, *self._life.history.deleted()]
        rows = [row for row in servers if project in (None, row["project_id"]) and _hours(row, start, stop) > 0]
        rows.sort(key=lambda row: (row["created"], row["id"]))
        if request.version not in versions.USAGE_PAGES:
            return rows, {}
        page, more = self._links.page(request, rows, lambda row: row["id"], links)
        return list(page), more


def _asked(request: Request) -> tuple[float, float]:
    """The time of a report, which ends now at the latest. Raises a 400 `Fault`."""
    start, stop = (moment_of(request.one(name), name) or time.time() for name in ("start", "end"))
    if start >= stop:
        raise Fault(400, "Invalid start time. The start time cannot occur after the end time.")
    return start, min(stop, time.time())


def _hours(row: ServerRow, start: float, stop: float) -> float:
    """How long a server was there in this time."""
    launched, terminated = moment_of(row["launched_at"]), moment_of(row.get("terminated_at"))
    return 0 if launched is None else max(min(terminated or stop, stop) - max(launched, start), 0) / 3600


def _usage(rows: list[ServerRow], start: float, stop: float) -> JSON:
    """A project's report."""
    servers = [_server(row, start, stop) for row in rows]
    moments = {name: datetime.fromtimestamp(moment, UTC) for name, moment in (("start", start), ("stop", stop))}
    return {
        "tenant_id": rows[0]["project_id"],
        **{name: moment.strftime("%Y-%m-%dT%H:%M:%S.%f") for name, moment in moments.items()},
        "total_hours": sum(each["hours"] for each in servers),
        **{total: sum(each[part] * each["hours"] for each in servers) for total, part in TOTALS.items()},
        "server_usages": servers,
    }


def _server(row: ServerRow, start: float, stop: float) -> JSON:
    """A server's part of a report."""
    flavor, end = FLAVORS[row["flavor_id"]], row.get("terminated_at")
    return {
        "instance_id": row["id"],
        "name": row["name"],
        "tenant_id": row["project_id"],
        "flavor": flavor.name,
        "vcpus": flavor.vcpus,
        "memory_mb": flavor.ram_mb,
        "local_gb": flavor.disk_gb,
        "hours": _hours(row, start, stop),
        "started_at": row["launched_at"],
        "ended_at": end,
        "state": "terminated" if end else row["vm_state"],
        "uptime": int(_hours(row, 0, time.time()) * 3600),
    }
