"""What all of Neutron's resources have in common: attributes with their checks, filters, fields, pages, bulk creates.

A resource is a `Collection` with a table of attributes; its own behaviour is in `creating`, `updating` and `deleting`.
Everything else is here once. Source: https://docs.openstack.org/api-ref/network/v2/
"""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar
from urllib.parse import urlencode

from faafo_lab.cloud.emulator import schema
from faafo_lab.cloud.emulator.service import JSON, Answer, Fault, Request, new_id, now
from faafo_lab.cloud.emulator.store import Row, Table

if TYPE_CHECKING:
    from faafo_lab.cloud.emulator.network import Network

REQUIRED: Any = object()  # the default of an attribute that a create must have
NAME_CHARACTERS = 255

Check = Callable[[Any], Any]


# Checks: each takes a JSON value and returns it as it is kept, or raises ValueError with Neutron's reason.


def text(most: int = NAME_CHARACTERS) -> Check:
    """A string of at most so many characters."""

    def check(value: Any) -> str:
        if not isinstance(value, str):
            raise ValueError(f"{schema.shown(value)} is not a valid string.")
        if len(value) > most:
            raise ValueError(f"{schema.shown(value)} exceeds maximum length of {most}.")
        return value

    return check


def boolean(value: Any) -> bool:
    """True or false, or words for them."""
    words = {"true": True, "1": True, "on": True, "yes": True, "false": False, "0": False, "off": False, "no": False}
    found = words.get(str(value).lower()) if isinstance(value, bool | str | int) else None
    if found is None:
        raise ValueError(f"{schema.shown(value)} cannot be converted to boolean.")
    return found


def integer(least: int | None = None, most: int | None = None) -> Check:
    """A whole number, or its text."""

    def check(value: Any) -> int:
        if isinstance(value, str) and re.fullmatch(r"-?[0-9]{1,18}", value):
            value = int(value)
        if isinstance(value, bool) or not isinstance(value, int):
            raise ValueError(f"{schema.shown(value)} is not an integer.")
        if least is not None and value < least:
            raise ValueError(f"'{value}' is too small - must be at least '{least}'.")
        if most is not None and value > most:
            raise ValueError(f"'{value}' is too large - must be no larger than '{most}'.")
        return value

    return check


def uuid(value: Any) -> str:
    """An id."""
    if not isinstance(value, str) or not schema.matches(schema.UUID, value):
        raise ValueError(f"{schema.shown(value)} is not a valid UUID.")
    return value


def address(value: Any) -> str:
    """An IP address."""
    try:
        if not isinstance(value, str):
            raise ValueError
        return str(ipaddress.ip_address(value))
    except ValueError:
        raise ValueError(f"{schema.shown(value)} is not a valid IP address.") from None


def cidr(value: Any) -> str:
    """A subnet, like 10.0.0.0/24."""
    try:
        if not isinstance(value, str):
            raise ValueError
        return str(ipaddress.ip_network(value, strict=False))
    except ValueError:
        raise ValueError(f"{schema.shown(value)} is not a valid IP subnet.") from None


def choice(*values: Any) -> Check:
    """One of a few values."""

    def check(value: Any) -> Any:
        if value not in values:
            raise ValueError(f"{schema.shown(value)} is not in {list(values)}.")
        return value

    return check


def each(check: Check) -> Check:
    """A list whose items all pass a check."""

    def check_all(value: Any) -> list[Any]:
        if not isinstance(value, list):
            raise ValueError(f"{schema.shown(value)} is not a list.")
        return [check(item) for item in value]

    return check_all


def optional(check: Check) -> Check:
    """Null, or what passes a check."""
    return lambda value: None if value is None else check(value)


def mapping(value: Any) -> JSON:
    """A JSON object."""
    if not isinstance(value, dict):
        raise ValueError(f"{schema.shown(value)} is not a dictionary.")
    return value


@dataclass(frozen=True)
class Attribute:
    """An attribute of a resource: its check, its value where a create does not name it, and who may set it."""

    check: Check
    default: Any = REQUIRED
    post: bool = True
    put: bool = True


READ_ONLY = Attribute(optional(text()), None, post=False, put=False)


class Collection:
    """All resources of one kind."""

    name: ClassVar[str]  # security_group
    plural: ClassVar[str]  # security_groups
    title: ClassVar[str]  # SecurityGroup: the names of its errors begin so
    attributes: ClassVar[Mapping[str, Attribute]]
    passing: ClassVar[frozenset[str]] = frozenset()  # attributes of a create that are not kept
    quota: ClassVar[bool] = True
    quota_of: ClassVar[Callable[[Row], bool] | None] = None  # which rows count

    def __init__(self, network: Network) -> None:
        self.network = network

    @classmethod
    def path(cls) -> str:
        """The plural as paths have it: security-groups."""
        return cls.plural.replace("_", "-")

    @property
    def table(self) -> Table:
        """The rows of this kind."""
        return self.network.store.table(self.name)

    # What a kind has its own way with

    def visible(self, row: Row, project: str) -> bool:
        """Whether a project may see this one."""
        return bool(row["project_id"] == project)

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

    def missing(self, id: str) -> Fault:
        """The answer for an id that is not there."""
        return Fault(404, f"{self.title} {id} could not be found.", type=f"{self.title}NotFound")

    def find(self, request: Request, id: str) -> Row:
        """The row that the project may see. Raises a 404 `Fault`."""
        row = self.table.get(id)
        if row is None or not self.visible(row, request.project):
            raise self.missing(id)
        return row

    def own(self, request: Request, id: str) -> Row:
        """The row that the project may change. Raises a 404 `Fault`, as Neutron does for others' resources."""
        row = self.find(request, id)
        if row["project_id"] != request.project:
            raise Fault(
                403,
                f"(rule:update_{self.name} and rule:delete_{self.name}) is disallowed by policy",
                type="PolicyNotAuthorized",
            )
        return row

    def index(self, request: Request) -> JSON:
        """List: filtered, sorted, a page at a time, and only the fields that were asked for."""
        views = [self.view(row) for row in self.table if self.visible(row, request.project)]
        views = [view for view in views if _matches(view, request)]
        views = _sorted(views, request)
        page, more = _page(views, request)
        body: JSON = {self.plural: [_fields(view, request) for view in page]}
        if more:
            query = {**request.query, "marker": [page[-1]["id"]]}
            href = f"{self.network.url}{request.path}?{urlencode(query, doseq=True)}"
            body[f"{self.plural}_links"] = [{"rel": "next", "href": href}]
        return body

    def show(self, request: Request, id: str) -> JSON:
        """Show one."""
        return {self.name: _fields(self.view(self.find(request, id)), request)}

    def create(self, request: Request) -> Answer:
        """Create one, or, where the body has the plural, several: all or none."""
        body = self.network.parse(request)
        several = self.plural in body
        wanted = body.get(self.plural if several else self.name)
        items = wanted if several else [wanted]
        if not isinstance(items, list) or not items or not all(isinstance(item, dict) for item in items):
            raise Fault(400, f"Resource body required: it must have {self.name!r}.", type="HTTPBadRequest")
        with self.network.store.transaction():
            rows = [self._create(request, item) for item in items]
        views = [self.view(row) for row in rows]
        return Answer(201, {self.plural: views} if several else {self.name: views[0]})

    def _create(self, request: Request, item: JSON) -> Row:
        values = self._checked(item, request, new=True)
        for name, attribute in self.attributes.items():
            if name not in values:
                if attribute.default is REQUIRED:
                    reason = f"Failed to parse request. Required attribute '{name}' not specified"
                    raise Fault(400, reason, type="HTTPBadRequest")
                values[name] = attribute.default
        row = self.creating(request, self.new(request.project, values))
        if self.quota:
            self.network.claim(self, row)
        self.table.put(row)
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
        item = self.network.parse(request).get(self.name)
        if not isinstance(item, dict):
            raise Fault(400, f"Resource body required: it must have {self.name!r}.", type="HTTPBadRequest")
        with self.network.store.transaction():
            changes = self.updating(request, row, self._checked(item, request, new=False))
            row = self.touch(id, **changes)
        return {self.name: self.view(row)}

    def touch(self, id: str, **changes: Any) -> Row:
        """Change a row's fields, its revision and its date."""
        return self.table.update(id, **changes, updated_at=now(), revision_number=self.table[id]["revision_number"] + 1)

    def delete(self, request: Request, id: str) -> Answer:
        """Delete one."""
        row = self.own(request, id)
        with self.network.store.transaction():
            self.deleting(row)
            self.table.delete(id)
        return Answer(204)

    def _checked(self, item: JSON, request: Request, *, new: bool) -> JSON:
        """The attributes that a client gave, as they are kept. Raises a 400 `Fault`."""
        values: JSON = {}
        for name, value in item.items():
            if name in ("tenant_id", "project_id") and new:
                if value != request.project:
                    raise Fault(
                        403, f"rule:create_{self.name}:tenant_id is disallowed by policy", type="PolicyNotAuthorized"
                    )
                continue
            attribute = self.attributes.get(name)
            if attribute is None:
                raise Fault(400, f"Unrecognized attribute(s) '{name}'", type="HTTPBadRequest")
            if not (attribute.post if new else attribute.put):
                verb = "POST" if new else "PUT"
                raise Fault(400, f"Attribute '{name}' not allowed in {verb}", type="HTTPBadRequest")
            try:
                values[name] = attribute.check(value)
            except ValueError as error:
                raise invalid(name, str(error)) from None
        return values


def invalid(name: str, reason: str) -> Fault:
    """The answer for an attribute whose value does not fit."""
    return Fault(400, f"Invalid input for {name}. Reason: {reason}", type="HTTPBadRequest")


# Lists

_PAGING = frozenset(("limit", "marker", "page_reverse", "sort_key", "sort_dir", "fields"))


def _matches(view: JSON, request: Request) -> bool:
    for name, values in request.query.items():
        if name in _PAGING:
            continue
        if name in ("tags", "tags-any", "not-tags", "not-tags-any"):
            if not _tagged(view.get("tags", []), name, {tag for value in values for tag in value.split(",")}):
                return False
        elif name in view and not any(_equal(view[name], value) for value in values):
            return False
    return True


def _tagged(tags: list[str], name: str, wanted: set[str]) -> bool:
    have = wanted & set(tags)
    fits = bool(have) if name.endswith("-any") else have == wanted
    return fits != name.startswith("not-")


def _equal(value: Any, text: str) -> bool:
    """Whether a filter's text means this value; a list or object fits where a part of it does (`ip_address=…`)."""
    if isinstance(value, bool):
        return text.lower() in (("true", "1") if value else ("false", "0"))
    if isinstance(value, list):
        return any(_equal(item, text) for item in value)
    if isinstance(value, dict):
        key, _, rest = text.partition("=")
        return str(value.get(key)) == rest
    return str(value) == text if value is not None else text in ("", "None")


def _sorted(views: list[JSON], request: Request) -> list[JSON]:
    keys = request.query.get("sort_key", [])
    directions = request.query.get("sort_dir", [])
    if directions and len(keys) != len(directions):
        raise Fault(400, "The number of sort_keys and sort_dirs must be same", type="HTTPBadRequest")
    views = sorted(views, key=lambda view: (view.get("created_at", ""), view["id"]))
    for key, direction in reversed(list(zip(keys, directions or ["asc"] * len(keys), strict=True))):
        if direction not in ("asc", "desc"):
            raise Fault(400, f"The value for sort_dir must be asc or desc, not {direction!r}", type="HTTPBadRequest")
        if any(isinstance(view.get(key), list | dict) for view in views):
            raise Fault(400, f"{key!r} cannot be sorted by", type="HTTPBadRequest")
        views.sort(key=lambda view: (view.get(key) is not None, view.get(key)), reverse=direction == "desc")
    return views


def _page(views: list[JSON], request: Request) -> tuple[list[JSON], bool]:
    if request.one("page_reverse") in ("True", "true"):
        views = views[::-1]
    try:
        limit = request.number("limit")
    except ValueError:
        wrong = schema.shown(request.one("limit"))
        raise Fault(400, f"Limit must be an integer 0 or greater and not {wrong}", type="HTTPBadRequest") from None
    start = 0
    if marker := request.one("marker"):
        ids = [view["id"] for view in views]
        if marker not in ids:
            raise Fault(404, f"The marker {marker} could not be found.", type="HTTPNotFound")
        start = ids.index(marker) + 1
    end = start + limit if limit else len(views)
    return views[start:end], end < len(views)


def _fields(view: JSON, request: Request) -> JSON:
    wanted = request.query.get("fields")
    return {name: value for name, value in view.items() if name in wanted} if wanted else view
