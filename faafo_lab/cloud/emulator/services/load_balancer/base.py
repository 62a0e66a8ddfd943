"""What the operations on load balancers share: their parts as they are kept and shown: rows, lists, and statuses."""

from __future__ import annotations

import time
from collections.abc import Iterable
from dataclasses import asdict
from typing import Any

from faafo_lab.cloud.emulator.common import pages, schema
from faafo_lab.cloud.emulator.common.quotas import Quotas
from faafo_lab.cloud.emulator.common.service import JSON, Fault, Request, new_id, now
from faafo_lab.cloud.emulator.common.store import Row, Table
from faafo_lab.cloud.emulator.machinery.balancing.balancer import Balancer
from faafo_lab.cloud.emulator.machinery.balancing.listeners import Stats
from faafo_lab.cloud.emulator.services.load_balancer.kinds import (
    HEALTH_MONITOR,
    LISTENER,
    LOAD_BALANCER,
    MEMBER,
    POOL,
    Kind,
)
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


class Collection:
    """All load balancers and their parts, as the state has them, and how they fare in the data path."""

    def __init__(self, site: Site, quotas: Quotas) -> None:
        self.store = site.store
        self.quotas = quotas
        self.balancer: Balancer | None = None
        self._url = site.url + PREFIX

    # Rows

    def table(self, kind: Kind) -> Table[Row]:
        """The rows of a kind."""
        return self.store.table(kind.name)

    def part(self, kind: Kind, project: str, id: str, **equal: Any) -> Row:
        """The row that the project may see. Raises a 404 `Fault`."""
        row = self.table(kind).get(id)
        if row is None or row["project_id"] != project or any(row[key] != value for key, value in equal.items()):
            raise Fault(404, f"{kind.title} {id} not found.")
        return row

    def new(self, kind: Kind, project: str, balancer: str, values: JSON) -> Row:
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

    def of(self, kind: Kind, **equal: Any) -> list[Row]:
        """The parts with these values, the oldest first."""
        return sorted(self.table(kind).where(**equal), key=lambda row: row["order"])

    def monitor(self, pool: str) -> Row | None:
        """A pool's health monitor."""
        return next(iter(self.table(HEALTH_MONITOR).where(pool_id=pool)), None)

    # Statuses

    def operating(self, kind: Kind, row: Row) -> str:
        """How a part fares at this moment."""
        if not row["admin_state_up"]:
            return "OFFLINE"
        if kind is LOAD_BALANCER:
            below = [self.operating(each, part) for each in (LISTENER, POOL)
                     for part in self.table(each).where(loadbalancer_id=row["id"])]  # fmt: skip
            return next((status for status in ("ERROR", "DEGRADED") if status in below), "ONLINE")
        if kind is LISTENER:
            front = self.balancer.frontends.get(row["id"]) if self.balancer is not None else None
            return "OFFLINE" if front is None else "ERROR" if front.trouble else "ONLINE"
        if kind is MEMBER:
            return self._member(row)
        if kind is POOL:
            if self.balancer is None or row["id"] not in self.balancer.backends:
                return "OFFLINE"
            members = [self._member(each) for each in self.table(MEMBER).where(pool_id=row["id"], admin_state_up=True)]
            dead = members.count("ERROR")
            return "ONLINE" if not dead else "ERROR" if dead == len(members) else "DEGRADED"
        return "ONLINE"

    def _member(self, row: Row) -> str:
        monitor = self.monitor(row["pool_id"])
        backend = self.balancer.backends.get(row["pool_id"]) if self.balancer is not None else None
        if not row["admin_state_up"]:
            return "OFFLINE"
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

    def view(self, kind: Kind, row: Row) -> JSON:
        """A part as its API shows it."""
        shown = {name: value for name, value in row.items() if name not in _HIDDEN}
        shown |= {**kind.empty, "operating_status": self.operating(kind, row)}
        balancer = [{"id": row.get("loadbalancer_id")}]
        if kind is LOAD_BALANCER:
            for part in (LISTENER, POOL):
                shown[part.plural] = [{"id": each["id"]} for each in self.of(part, loadbalancer_id=row["id"])]
        elif kind is LISTENER:
            shown["loadbalancers"] = balancer
        elif kind is POOL:
            monitor = self.monitor(row["id"])
            shown |= {
                "loadbalancers": balancer,
                "listeners": [{"id": each["id"]} for each in self.of(LISTENER, default_pool_id=row["id"])],
                "members": [{"id": each["id"]} for each in self.of(MEMBER, pool_id=row["id"])],
                "healthmonitor_id": monitor["id"] if monitor else None,
            }
        elif kind is HEALTH_MONITOR:
            shown["pools"] = [{"id": row["pool_id"]}]
        return shown

    def full(self, row: Row) -> JSON:
        """A load balancer with all its parts."""
        pools = []
        for pool in self.of(POOL, loadbalancer_id=row["id"]):
            monitor = self.monitor(pool["id"])
            pools.append({
                **self.view(POOL, pool),
                "members": [self.view(MEMBER, each) for each in self.of(MEMBER, pool_id=pool["id"])],
                "healthmonitor": self.view(HEALTH_MONITOR, monitor) if monitor else None,
            })  # fmt: skip
        by_id = {pool["id"]: pool for pool in pools}
        listeners = [{**self.view(LISTENER, each), "default_pool": by_id.get(each["default_pool_id"])}
                     for each in self.of(LISTENER, loadbalancer_id=row["id"])]  # fmt: skip
        return {**self.view(LOAD_BALANCER, row), "listeners": listeners, "pools": pools}

    def tree(self, balancer: Row) -> JSON:
        """The statuses of a load balancer and all its parts."""

        def node(kind: Kind, row: Row, *also: str) -> JSON:
            names = ("id", "name", "provisioning_status", *also)
            return {**{name: row[name] for name in names}, "operating_status": self.operating(kind, row)}

        def pool(row: Row) -> JSON:
            monitor = self.monitor(row["id"])
            found = node(POOL, row)
            if monitor is not None:
                found["healthmonitor"] = node(HEALTH_MONITOR, monitor, "type")
            members = self.of(MEMBER, pool_id=row["id"])
            return {**found, "members": [node(MEMBER, each, "address", "protocol_port") for each in members]}

        pools = {row["id"]: pool(row) for row in self.of(POOL, loadbalancer_id=balancer["id"])}
        listeners = [
            {**node(LISTENER, row), "pools": [pools[row["default_pool_id"]]] if row["default_pool_id"] in pools else []}
            for row in self.of(LISTENER, loadbalancer_id=balancer["id"])
        ]
        return {**node(LOAD_BALANCER, balancer), "listeners": listeners, "pools": list(pools.values())}

    # Lists

    def listed(self, request: Request, kind: Kind, rows: Iterable[Row]) -> JSON:
        """A list: filtered, sorted, a page at a time, and only the fields that were asked for."""
        own = sorted((row for row in rows if row["project_id"] == request.project), key=lambda row: row["order"])
        views = [self.view(kind, row) for row in own]
        views = [view for view in views if _matches(view, request)]
        views = _PAGER.sort(views, pages.pairs(request.one("sort") or "", "asc"))
        page, links = _PAGER.page(views, request, self._url, kind.plural)
        return {kind.plural: [pages.fields(view, request) for view in page], **links}


def _matches(view: JSON, request: Request) -> bool:
    for name, values in request.query.items():
        if name in pages.TAG_FILTERS:
            if not pages.tagged(view["tags"], name, values):
                return False
        elif name in view and name not in _NOT_FILTERS and not isinstance(view[name], list | dict):
            texts = [str(view[name]), str(view[name]).lower()] if view[name] is not None else ["", "None"]
            if not any(value in texts for value in values):
                return False
    return True
