"""What the operations on load balancers share: their parts as they are kept and shown: rows, lists, and statuses."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable
from dataclasses import asdict
from typing import Any

from faafo_lab.cloud.emulator.common import pages, schema
from faafo_lab.cloud.emulator.common.quotas import Quotas
from faafo_lab.cloud.emulator.common.service import JSON, Fault, Request, new_id, now
from faafo_lab.cloud.emulator.common.store import Row, Table
from faafo_lab.cloud.emulator.machinery.balancing.balancer import Balancer
from faafo_lab.cloud.emulator.machinery.balancing.listeners import Stats
from faafo_lab.cloud.emulator.services.load_balancer import kinds
from faafo_lab.cloud.emulator.site import Site

_HIDDEN = ("loadbalancer_id", "pool_id", "listener_id", "own_port", "order")
PREFIX = "/load-balancer"
_PAGER = pages.Pager(
    bad_number=lambda name, value: Fault(400, f"Invalid page limit: {name} must be a whole number, not {value}"),
    no_marker=lambda marker: Fault(400, f"The marker {schema.shown(marker)} could not be found."),
    bad_sort=lambda key, way: Fault(400, f"Invalid sort direction: {schema.shown(way)}. It is asc or desc."),
    rank=lambda value: str(value or ""),
    reversible=True,
)
_NOT_FILTERS = frozenset(("limit", "marker", "page_reverse", "sort", "fields"))
_ALIASES = {"load_balancer_id": "loadbalancer_id", "tenant_id": "project_id"}
_STATUSES = ("provisioning_status", "operating_status", "created_at", "updated_at")
_LINKS = ("loadbalancers", "listeners", "pools", "members", "healthmonitor_id", *_HIDDEN[:3])
_FILTERS = ("id", "project_id", *_ALIASES, *_STATUSES, *_LINKS, *pages.TAG_FILTERS)


class Collection:
    """All load balancers and their parts, as the state has them, and how they fare in the data path."""

    def __init__(self, site: Site, quotas: Quotas) -> None:
        self.store = site.store
        self.quotas = quotas
        self.balancer: Balancer | None = None
        self._url = site.url + PREFIX

    # Rows

    def table(self, kind: kinds.Kind) -> Table[Row]:
        """The rows of a kind."""
        return self.store.table(kind.name)

    def part(self, kind: kinds.Kind, project: str, id: str, **equal: Any) -> Row:
        """The row that the project may see. Raises a 404 `Fault`."""
        row = self.table(kind).get(id)
        if row is None or row["project_id"] != project or any(row[key] != value for key, value in equal.items()):
            raise Fault(404, f"{kind.title} {id} not found.")
        return row

    def new(self, kind: kinds.Kind, project: str, balancer: str, values: JSON) -> Row:
        """Keep a new part. Raises a 403 `Fault` where the project has as many as it may."""
        self.quotas.claim(project, {kind.name: 1})
        row = {
            "id": new_id(),
            "project_id": project,
            **values,
            "loadbalancer_id": balancer,
            "provisioning_status": "PENDING_CREATE",
            "created_at": now()[:-1],
            "updated_at": None,
            "order": time.time_ns(),
        }
        return self.table(kind).put(row)

    def of(self, kind: kinds.Kind, **equal: Any) -> list[Row]:
        """The parts with these values, the oldest first."""
        return sorted(self.table(kind).where(**equal), key=lambda row: row["order"])

    def monitor(self, pool: str) -> Row | None:
        """A pool's health monitor."""
        return next(iter(self.table(kinds.HEALTH_MONITOR).where(pool_id=pool)), None)

    # Statuses

    def operating(self, kind: kinds.Kind, row: Row) -> str:
        """How a part fares at this moment."""
        if not row["admin_state_up"]:
            return "OFFLINE"
        if kind is kinds.LOAD_BALANCER:
            below = [self.operating(each, part) for each in (kinds.LISTENER, kinds.POOL)
                     for part in self.table(each).where(loadbalancer_id=row["id"])]  # fmt: skip
            return next((status for status in ("ERROR", "DEGRADED") if status in below), "ONLINE")
        if kind is kinds.LISTENER:
            front = self.balancer.frontends.get(row["id"]) if self.balancer is not None else None
            return "OFFLINE" if front is None else "ERROR" if front.trouble else "ONLINE"
        if kind is kinds.MEMBER:
            return self._member(row)
        if kind is kinds.POOL:
            if self.balancer is None or row["id"] not in self.balancer.backends:
                return "OFFLINE"
            members = [
                self._member(each) for each in self.table(kinds.MEMBER).where(pool_id=row["id"], admin_state_up=True)
            ]
            dead = members.count("ERROR")
            return "ONLINE" if not dead else "ERROR" if dead == len(members) else "DEGRADED"
        return "ONLINE"

    def _member(self, row: Row) -> str:
        monitor = self.monitor(row["pool_id"])
        backend = self.balancer.backends.get(row["pool_id"]) if self.balancer is not None else None
        if monitor is None or not monitor["admin_state_up"]:
            return "NO_MONITOR"
        known = backend.health.get(row["id"]) if backend is not None else None
        if known is False:
            return "ERROR"
        return "OFFLINE" if known is None else "DRAINING" if row["weight"] == 0 else "ONLINE"

    def stats(self, listeners: Iterable[Row]) -> JSON:
        """What has passed through these listeners since the emulator's start."""
        total = asdict(Stats())
        for row in listeners:
            front = self.balancer.frontends.get(row["id"]) if self.balancer is not None else None
            for name, number in asdict(front.stats).items() if front is not None else ():
                total[name] += number
        return total

    # Views

    def view(self, kind: kinds.Kind, row: Row) -> JSON:
        """A part as its API shows it."""
        shown = {**_without_hidden(row), **kind.empty, "operating_status": self.operating(kind, row)}
        balancer = [{"id": row.get("loadbalancer_id")}]
        if kind is kinds.LOAD_BALANCER:
            for part in (kinds.LISTENER, kinds.POOL):
                shown[part.plural] = [{"id": each["id"]} for each in self.of(part, loadbalancer_id=row["id"])]
        elif kind is kinds.LISTENER:
            shown["loadbalancers"] = balancer
        elif kind is kinds.POOL:
            monitor = self.monitor(row["id"])
            shown |= {
                "loadbalancers": balancer,
                "listeners": [{"id": each["id"]} for each in self.of(kinds.LISTENER, default_pool_id=row["id"])],
                "members": [{"id": each["id"]} for each in self.of(kinds.MEMBER, pool_id=row["id"])],
                "healthmonitor_id": monitor["id"] if monitor else None,
            }
        elif kind is kinds.HEALTH_MONITOR:
            shown["pools"] = [{"id": row["pool_id"]}]
        return shown

    def full(self, row: Row, view: Callable[[kinds.Kind, Row], JSON] | None = None) -> JSON:
        """A load balancer with all its parts, each as `view` has it, or as its API shows it."""
        view = view or self.view
        pools = {}
        for pool in self.of(kinds.POOL, loadbalancer_id=row["id"]):
            members, monitor = self.of(kinds.MEMBER, pool_id=pool["id"]), self.monitor(pool["id"])
            pools[pool["id"]] = {
                **view(kinds.POOL, pool),
                "members": [view(kinds.MEMBER, each) for each in members],
                "healthmonitor": view(kinds.HEALTH_MONITOR, monitor) if monitor else None,
            }
        listeners = self.of(kinds.LISTENER, loadbalancer_id=row["id"])
        shown = [
            {**view(kinds.LISTENER, each), "default_pool": pools.get(each["default_pool_id"])} for each in listeners
        ]
        return {**view(kinds.LOAD_BALANCER, row), "listeners": shown, "pools": list(pools.values())}

    def tree(self, balancer: Row) -> JSON:
        """The statuses of a load balancer and all its parts."""
        also = {kinds.MEMBER.name: ("address", "protocol_port"), kinds.HEALTH_MONITOR.name: ("type",)}

        def node(kind: kinds.Kind, row: Row) -> JSON:
            names = ("id", "name", "provisioning_status", *also.get(kind.name, ()))
            return {**{name: row[name] for name in names}, "operating_status": self.operating(kind, row)}

        found = self.full(balancer, node)
        for pool in found["pools"]:
            if pool["healthmonitor"] is None:
                del pool["healthmonitor"]
        for listener in found["listeners"]:
            listener["pools"] = [*filter(None, [listener.pop("default_pool")])]
        return found

    # Lists

    def listed(self, request: Request, kind: kinds.Kind, rows: Iterable[Row]) -> JSON:
        """A list: filtered, sorted, a page at a time, and only the fields that were asked for.

        Raises a 400 `Fault` for a filter that is none of the kind's fields.
        """
        wanted = {name: values for name, values in request.query.items() if name not in _NOT_FILTERS}
        if unknown := [name for name in wanted if name not in {*kind.attributes, *kind.empty, *_FILTERS}]:
            raise Fault(400, f"Unknown attribute for argument {kind.key}: {unknown[0]}")
        own = sorted((row for row in rows if row["project_id"] == request.project), key=lambda row: row["order"])
        views = [{**row, **self.view(kind, row)} for row in own]
        views = [view for view in views if all(_has(view, *each) for each in wanted.items())]
        views = _PAGER.sort(views, pages.pairs(request.one("sort") or "", "asc"))
        page, links = _PAGER.page(views, request, self._url, kind.plural)
        return {kind.plural: [pages.fields(_without_hidden(view), request) for view in page], **links}


def _without_hidden(view: JSON) -> JSON:
    return {name: value for name, value in view.items() if name not in _HIDDEN}


def _has(view: JSON, name: str, values: list[str]) -> bool:
    """Whether a part passes a filter: its field is, or names, or has one of these values."""
    if name in pages.TAG_FILTERS:
        return pages.tagged(view["tags"], name, values)
    found = view.get(_ALIASES.get(name, name))
    for each in found if isinstance(found, list) else [found]:
        one = each["id"] if isinstance(each, dict) and "id" in each else each
        if {"", "None"} & set(values) if one is None else {str(one), str(one).lower()} & set(values):
            return True
    return False
