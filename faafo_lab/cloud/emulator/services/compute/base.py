"""What Nova's operations have in common: links, pages, numbers in a query."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, TypeVar

from faafo_lab.cloud.emulator.common.pages import Pager
from faafo_lab.cloud.emulator.common.service import JSON, Fault, Request
from faafo_lab.cloud.emulator.site import Site

PREFIX = "/compute"
T = TypeVar("T")


PAGER = Pager(
    bad_number=lambda name, value: Fault(
        400, f"Invalid input for query parameters {name}: {name} must be a whole number, not {value}."
    ),
    no_marker=lambda marker: Fault(400, f"marker [{marker}] not found"),
    most=1000,
)
number = PAGER.number


def only(properties: JSON, required: Sequence[str] = (), **more: Any) -> JSON:
    """The form of an object that has these properties and no others."""
    return {"type": "object", "required": required, "additionalProperties": False, "properties": properties, **more}


def form(name: str, one: JSON) -> JSON:
    """The form of a body with one object."""
    return {"type": "object", "required": [name], "properties": {name: one}}


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
