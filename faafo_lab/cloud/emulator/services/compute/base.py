"""What Nova's operations have in common: links, pages, numbers in a query."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, TypeVar

from faafo_lab.cloud.emulator.common import schema
from faafo_lab.cloud.emulator.common.pages import TAG_FILTERS, Pager
from faafo_lab.cloud.emulator.common.service import JSON, Fault, Request
from faafo_lab.cloud.emulator.site import Site

PREFIX = "/compute"
PAGING = ("limit", "marker")
QUERIES = {  # what the queries of lists may have from 2.75 on
    "servers": (
        *PAGING,
        *("access_ip_v4", "access_ip_v6", "all_tenants", "auto_disk_config", "availability_zone", "changes-before"),
        *("changes-since", "config_drive", "created_at", "deleted", "description", "display_description"),
        *("display_name", "flavor", "host", "hostname", "image", "image_ref", "ip", "ip6", "kernel_id", "key_name"),
        *("launch_index", "launched_at", "locked", "locked_by", "name", "node", "power_state", "progress"),
        *("project_id", "ramdisk_id", "reservation_id", "root_device_name", "soft_deleted", "sort_dir", "sort_key"),
        *("status", "task_state", "tenant_id", "terminated_at", "user_id", "uuid", "vm_state", *TAG_FILTERS),
    ),
    "flavors": (*PAGING, "is_public", "minRam", "minDisk", "sort_key", "sort_dir"),
    "os-keypairs": (*PAGING, "user_id"),
    "os-server-groups": ("all_projects", "limit", "offset"),
    "os-simple-tenant-usage": (*PAGING, "start", "end", "detailed"),
    "os-volume_attachments": ("limit", "offset"),
    "os-instance-actions": (*PAGING, "changes-since", "changes-before"),
    "limits": ("tenant_id",),
}
TRUE, FALSE = ("1", "on", "t", "true", "y", "yes"), ("0", "f", "false", "n", "no", "off")
T = TypeVar("T")

PAGER = Pager(
    bad_number=lambda name, value: Fault(
        400, f"Invalid input for query parameters {name}: {name} must be a whole number, not {value}."
    ),
    no_marker=lambda marker: Fault(400, f"marker [{marker}] not found"),
    most=1000,
)
number = PAGER.number


def is_true(value: object) -> bool:
    """Whether a body's or a query's value is one of Nova's words for true."""
    return str(value).lower() in TRUE


def denied(rule: str) -> Fault:
    """The answer to who may not do something by this rule of the policy."""
    return Fault(403, f"Policy doesn't allow {rule} to be performed.")


def only(properties: JSON, required: Sequence[str] = (), **more: Any) -> JSON:
    """The form of an object that has these properties and no others."""
    return {"type": "object", "required": required, "additionalProperties": False, "properties": properties, **more}


def form(name: str, one: JSON) -> JSON:
    """The form of a body with one object."""
    return {"type": "object", "required": [name], "properties": {name: one}}


def check_query(request: Request) -> None:
    """Check that a list's query has nothing unknown. Raises a 400 `Fault`."""
    known = QUERIES.get(request.path.removesuffix("/detail").rsplit("/", 1)[-1])
    unknown = [name for name in request.query if known is not None and name not in known]
    if unknown:
        raise Fault(400, f"Additional properties are not allowed ({schema.shown(unknown[0])} was unexpected)")


class Links:
    """How answers name resources and pages."""

    def __init__(self, site: Site) -> None:
        self._site = site

    @property
    def root(self) -> str:
        """The service's root."""
        return self._site.url + PREFIX

    def of(self, kind: str, id: str) -> list[JSON]:
        """A resource's links."""
        return [
            {"rel": "self", "href": f"{self.root}/v2.1/{kind}/{id}"},
            {"rel": "bookmark", "href": f"{self.root}/{kind}/{id}"},
        ]

    def page(
        self, request: Request, rows: Sequence[T], key: Callable[[T], Any], name: str, offset: int = 0
    ) -> tuple[Sequence[T], JSON]:
        """The rows after the marker, at most `limit`, and, under a name, the link to the rest. Raises a 400 `Fault`."""
        page, query = PAGER.cut(rows, request, offset, key)
        href = f"{self.root}{request.path}?{query}"
        return page, {name: [{"rel": "next", "href": href}]} if query else {}
