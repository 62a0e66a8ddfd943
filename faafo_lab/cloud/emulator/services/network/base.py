"""What all of Neutron's resources have in common: lists, creates (of several, too), changes, and who may do them.

A resource is a `Collection` with a table of attributes; its own behaviour is in `creating`, `updating` and `deleting`.
Everything else is here once. Source: https://docs.openstack.org/api-ref/network/v2/
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, ClassVar

from faafo_lab.cloud.emulator.common import pages
from faafo_lab.cloud.emulator.common.service import JSON, Answer, Request, new_id, now
from faafo_lab.cloud.emulator.common.store import Row, Table
from faafo_lab.cloud.emulator.services.network import query
from faafo_lab.cloud.emulator.services.network.checks import REQUIRED, Attribute
from faafo_lab.cloud.emulator.services.network.quotas import QUOTAS
from faafo_lab.cloud.emulator.services.network.words import invalid, refused

if TYPE_CHECKING:
    from faafo_lab.cloud.emulator.services.network.api import Network

_BARE = frozenset(("tags", "created_at", "updated_at", "revision_number"))
OPERATORS = re.compile(
    r"provider:.*|binding:(host_id|profile)|ha|distributed|is_default"
)  # only those who run a cloud may set them
STANDARD = ("id", "tenant_id", "project_id", *_BARE)


class Collection:
    """All resources of one kind."""

    name: ClassVar[str]  # security_group
    plural: ClassVar[str]  # security_groups
    title: ClassVar[str]  # SecurityGroup: the names of its errors begin so
    attributes: ClassVar[Mapping[str, Attribute]]
    passing: ClassVar[frozenset[str]] = frozenset()  # attributes of a create that are not kept
    addressed: ClassVar[tuple[str, ...]] = ()  # the attributes that have addresses
    also: ClassVar[tuple[str, ...]] = ()  # what a list is filtered by beside the attributes
    bare: ClassVar[bool] = False  # shows neither tags nor a revision, and no dates

    def __init__(self, network: Network) -> None:
        self.network = network

    @classmethod
    def path(cls) -> str:
        """The plural as paths have it: security-groups."""
        return cls.plural.replace("_", "-")

    @property
    def table(self) -> Table[Row]:
        """The rows of this kind."""
        return self.network.store.table(self.name)

    # What a kind has its own way with

    def visible(self, row: Row, project: str) -> bool:
        """Whether a project may see this one."""
        return row["project_id"] == project or self.shared(row, project)

    def shared(self, row: Row, project: str) -> bool:
        """Whether this one is everybody's, or somebody shares it with the project."""
        return bool(row.get("shared")) or self.network.policies.share(row["id"], project)

    def creating(self, request: Request, row: Row) -> Row:
        """Complete and check a new row before it is kept. Raises a `Fault`."""
        return row

    def created(self, row: Row) -> None:
        """Make what belongs to a new one."""

    def updating(self, request: Request, row: Row, changes: JSON) -> JSON:
        """Complete and check changes. Raises a `Fault`."""
        return changes

    def deleting(self, row: Row) -> None:
        """Check that this one may go, and remove what belongs to it. Raises a `Fault`."""

    def view(self, row: Row) -> JSON:
        """The resource as its API shows it."""
        return row

    # The operations

    def get(self, id: str | None) -> Row | None:
        """The row with this id, whoever may see it; or None."""
        return self.table.get(id)

    def find(self, request: Request, id: str) -> Row:
        """The row that who asks may see. Raises a 404 `Fault`."""
        row = self.table.get(id)
        if row is None or not (request.admin or self.visible(row, request.project)):
            raise refused(f"{self.title}NotFound", id)
        return row

    def own(self, request: Request, id: str) -> Row:
        """The row that who asks may change. Raises a 404 `Fault`, as Neutron does for others' resources."""
        row = self.find(request, id)
        if row["project_id"] != request.project and not request.admin:
            raise refused("PolicyNotAuthorized", f"(rule:update_{self.name} and rule:delete_{self.name})")
        return row

    def index(self, request: Request) -> JSON:
        """List: filtered, sorted, a page at a time, and only the fields that were asked for.

        As Neutron does, an administrator's list has every project's.
        """
        passes = query.filter_by(request, {*self.attributes, *self.also, *STANDARD})
        rows = sorted(self.table, key=lambda row: (row["created_at"], row["id"]))
        views = [self._shown(row, request) for row in rows if request.admin or self.visible(row, request.project)]
        views = query.in_order(filter(passes, views), request)
        page, links = query.PAGER.page(views, request, self.network.url, self.plural)
        return {self.plural: [pages.fields(view, request) for view in page], **links}

    def show(self, request: Request, id: str) -> JSON:
        """Show one."""
        return {self.name: pages.fields(self._shown(self.find(request, id), request), request)}

    def _shown(self, row: Row, request: Request) -> JSON:
        """The resource as who asks is shown it."""
        view = self.view(row)
        view = {**view, "shared": self.shared(row, request.project)} if "shared" in view else view
        return {name: value for name, value in view.items() if name not in _BARE} if self.bare else view

    def create(self, request: Request) -> Answer:
        """Create one, or, where the body has the plural, several: all or none."""
        body = request.parse()
        several = self.plural in body
        wanted = body.get(self.plural if several else self.name)
        items = wanted if several else [wanted]
        if not isinstance(items, list) or not items or not all(isinstance(item, dict) for item in items):
            raise refused("HTTPBadRequest", f"Resource body required: it must have {self.name!r}.")
        with self.network.store.transaction():
            rows = [self.make(request, item) for item in items]
        views = [self._shown(row, request) for row in rows]
        return Answer(201, {self.plural: views} if several else {self.name: views[0]})

    def make(self, request: Request, item: JSON) -> Row:
        """Create one of the project's. In a transaction; raises a `Fault`."""
        values = self._checked(item, request, new=True)
        for name, attribute in self.attributes.items():
            if name not in values:
                if attribute.default is REQUIRED:
                    reason = f"Failed to parse request. Required attribute '{name}' not specified"
                    raise refused("HTTPBadRequest", reason)
                values[name] = attribute.default
        row = self.creating(request, self.new(request.project, values))
        if self.name in QUOTAS:
            self.network.quotas.claim(request.project, {self.name: 1})
        self.table.put({name: value for name, value in row.items() if name not in self.passing})
        self.created(row)
        return self.table[row["id"]]

    def defaults(self) -> JSON:
        """The attributes of a new one that says nothing."""
        return {name: attribute.default for name, attribute in self.attributes.items() if name not in self.passing}

    def new(self, project: str, values: JSON) -> Row:
        """A row with what every resource has."""
        moment = now()
        return {
            "id": new_id(),
            "tenant_id": project,
            **values,
            "tags": [],
            "created_at": moment,
            "updated_at": moment,
            "revision_number": 0,
            "project_id": project,
        }

    def update(self, request: Request, id: str) -> JSON:
        """Change one."""
        row = self.own(request, id)
        item = request.parse().get(self.name)
        if not isinstance(item, dict):
            raise refused("HTTPBadRequest", f"Resource body required: it must have {self.name!r}.")
        with self.network.store.transaction():
            changes = self.updating(request, row, self._checked(item, request, new=False))
            row = self.touch(id, **changes)
        return {self.name: self._shown(row, request)}

    def touch(self, id: str, **changes: Any) -> Row:
        """Change a row's fields, its revision and its date."""
        return self.table.update(id, **changes, updated_at=now(), revision_number=self.table[id]["revision_number"] + 1)

    def delete(self, request: Request, id: str) -> Answer:
        """Delete one."""
        row = self.own(request, id)
        with self.network.store.transaction():
            self.deleting(row)
            self.network.policies.forget(id)
            self.table.delete(id)
        return Answer(204)

    def _checked(self, item: JSON, request: Request, *, new: bool) -> JSON:
        """The attributes that a client gave, as they are kept. Raises a 400 `Fault`."""
        values: JSON = {}
        for name, value in item.items():
            if name in ("tenant_id", "project_id") and new:
                if value != request.project:
                    raise refused("PolicyNotAuthorized", f"rule:create_{self.name}:tenant_id")
                continue
            attribute = self.attributes.get(name)
            if attribute is None and OPERATORS.fullmatch(name):
                raise refused("PolicyNotAuthorized", f"rule:{'create' if new else 'update'}_{self.name}:{name}")
            if attribute is None:
                raise refused("HTTPBadRequest", f"Unrecognized attribute(s) '{name}'")
            if not (attribute.post if new else attribute.put):
                raise refused("HTTPBadRequest", f"Attribute '{name}' not allowed in {'POST' if new else 'PUT'}")
            try:
                values[name] = attribute.check(value)
            except ValueError as error:
                raise invalid(name, str(error)) from None
            if attribute.operators and values[name]:
                raise refused("PolicyNotAuthorized", f"rule:create_{self.name}:{name}")
        return values
