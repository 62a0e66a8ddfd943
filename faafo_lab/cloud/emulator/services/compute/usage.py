"""What a project has used: the hours of its servers, and their vCPUs, memory and disk.

Source: https://docs.openstack.org/api-ref/compute/#usage-reports-os-simple-tenant-usage
"""

from __future__ import annotations

from datetime import UTC, datetime
from typing import NamedTuple

from faafo_lab.cloud.emulator.common.service import JSON, Fault, Request, route
from faafo_lab.cloud.emulator.services.compute import versions
from faafo_lab.cloud.emulator.services.compute.flavors import FLAVORS
from faafo_lab.cloud.emulator.services.compute.rows import ServerRow
from faafo_lab.cloud.emulator.services.compute.servers import Part

TOTALS = {"total_vcpus_usage": "vcpus", "total_memory_mb_usage": "memory_mb", "total_local_gb_usage": "local_gb"}


class Span(NamedTuple):
    """A time, in UTC."""

    start: datetime
    stop: datetime

    @property
    def seconds(self) -> float:
        """Its length, or 0."""
        return max((self.stop - self.start).total_seconds(), 0)


class Usage(Part):
    """Usage reports."""

    @route("GET", "/v2.1/os-simple-tenant-usage")
    def list_usage(self, request: Request) -> JSON:
        """What every project has used, which only an administrator may see."""
        if not request.admin:
            raise Fault(403, "Policy doesn't allow os_compute_api:os-simple-tenant-usage:list to be performed.")
        span, detailed = _asked(request), request.one("detailed") == "1"
        rows, more = self._page(request, [*self._servers.table, *self._life.history.buried()], span)
        projects = sorted({row["project_id"] for row in rows})
        usages = [_usage([row for row in rows if row["project_id"] == each], span, detailed) for each in projects]
        return {"tenant_usages": usages, **more}

    @route("GET", "/v2.1/os-simple-tenant-usage/{project}")
    def show_usage(self, request: Request, project: str) -> JSON:
        """What the project has used, with each of its servers, deleted ones too."""
        if project != request.project and not request.admin:
            raise Fault(403, "Policy doesn't allow os_compute_api:os-simple-tenant-usage:show to be performed.")
        span = _asked(request)
        servers = [*self._servers.table.where(project_id=project), *self._life.history.deleted(project)]
        rows, more = self._page(request, servers, span)
        return {"tenant_usage": _usage(rows, span, True) if rows else {}, **more}

    def _page(self, request: Request, servers: list[ServerRow], span: Span) -> tuple[list[ServerRow], JSON]:
        """The servers that ran in this time, and since 2.40 a page of them."""
        rows = [row for row in servers if row["launched_at"] and _life(row, span).seconds > 0]
        rows.sort(key=lambda row: (row["created"], row["id"]))
        if request.version not in versions.USAGE_PAGES:
            return rows, {}
        path = request.path.rsplit("/", 1)[-1]
        name = "tenant_usages_links" if path == "os-simple-tenant-usage" else "tenant_usage_links"
        page, more = self._links.page(request, rows, lambda row: row["id"], name)
        return list(page), more


def _asked(request: Request) -> Span:
    """The time of a report, which ends now at the latest. Raises a 400 `Fault`."""
    span = Span(*(_moment(request.one(name)) for name in ("start", "end")))
    if span.start >= span.stop:
        raise Fault(400, "Invalid start time. The start time cannot occur after the end time.")
    return Span(span.start, min(span.stop, datetime.now(UTC)))


def _moment(text: str | None) -> datetime:
    """A moment as Nova writes it; without a word, now. Raises a 400 `Fault`."""
    try:
        moment = datetime.fromisoformat(text) if text else datetime.now(UTC)
    except ValueError:
        raise Fault(400, "Datetime is in invalid format") from None
    return moment if moment.tzinfo else moment.replace(tzinfo=UTC)


def _life(row: ServerRow, span: Span) -> Span:
    """When a server was there in this time."""
    end = row.get("terminated_at")
    return Span(max(_moment(row["launched_at"]), span.start), min(_moment(end), span.stop) if end else span.stop)


def _usage(rows: list[ServerRow], span: Span, detailed: bool) -> JSON:
    """A project's report."""
    servers = [_server(row, span) for row in rows]
    start, stop = (moment.replace(tzinfo=None).isoformat(timespec="microseconds") for moment in span)
    return {
        "tenant_id": rows[0]["project_id"],
        "start": start,
        "stop": stop,
        "total_hours": sum(each["hours"] for each in servers),
        **{total: sum(each[part] * each["hours"] for each in servers) for total, part in TOTALS.items()},
        **({"server_usages": servers} if detailed else {}),
    }


def _server(row: ServerRow, span: Span) -> JSON:
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
        "hours": _life(row, span).seconds / 3600,
        "started_at": row["launched_at"],
        "ended_at": end,
        "state": "terminated" if end else row["vm_state"],
        "uptime": int(Span(_moment(row["launched_at"]), _moment(end)).seconds),
    }
