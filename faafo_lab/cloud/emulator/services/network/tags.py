"""Tags of Neutron's resources. Source: https://docs.openstack.org/api-ref/network/v2/#standard-attributes-tag-extension"""

from __future__ import annotations

from collections.abc import Callable

from faafo_lab.cloud.emulator.common.service import JSON, Answer, Fault, Request, route
from faafo_lab.cloud.emulator.common.store import Row
from faafo_lab.cloud.emulator.services.network.attributes import each, text
from faafo_lab.cloud.emulator.services.network.base import Collection, invalid

TAG_CHARACTERS = 255
MAX_TAGS = 50


class Tags:
    """The tags of any resource of the network service."""

    def __init__(self, kind: Callable[[str], Collection]) -> None:
        """`kind` finds the collection by its path's name. Raises a 404 `Fault`."""
        self._kind = kind

    def _tagged(self, request: Request, kind: str, id: str, *, own: bool = False) -> tuple[Collection, Row]:
        """The resource that is meant; `own`: that the project may change. Raises a 404 or 403 `Fault`."""
        found = self._kind(kind)
        return found, (found.own if own else found.find)(request, id)

    def _set(self, kind: Collection, row: Row, tags: list[str]) -> list[str]:
        try:
            tags = sorted(set(each(text(TAG_CHARACTERS))(tags)))
        except ValueError as error:
            raise invalid("tags", str(error)) from None
        if len(tags) > MAX_TAGS:
            raise invalid("tags", f"The number of tags exceed the per-resource limit of {MAX_TAGS}")
        kind.touch(row["id"], tags=tags)
        return tags

    def _one(self, row: Row, tag: str) -> str:
        if tag not in row["tags"]:
            raise Fault(404, f"Tag {tag} could not be found.", type="TagNotFound")
        return tag

    @route("GET", "/v2.0/{kind}/{id}/tags")
    def list_tags(self, request: Request, kind: str, id: str) -> JSON:
        """A resource's tags."""
        _, row = self._tagged(request, kind, id)
        return {"tags": row["tags"]}

    @route("PUT", "/v2.0/{kind}/{id}/tags")
    def replace_tags(self, request: Request, kind: str, id: str) -> JSON:
        """Replace all of a resource's tags."""
        found, row = self._tagged(request, kind, id, own=True)
        body = request.parse()
        if "tags" not in body:
            raise Fault(400, "Invalid tags body: it must have 'tags'.", type="HTTPBadRequest")
        return {"tags": self._set(found, row, body["tags"])}

    @route("DELETE", "/v2.0/{kind}/{id}/tags")
    def remove_tags(self, request: Request, kind: str, id: str) -> Answer:
        """Remove all of a resource's tags."""
        found, row = self._tagged(request, kind, id, own=True)
        self._set(found, row, [])
        return Answer(204)

    @route("GET", "/v2.0/{kind}/{id}/tags/{tag}")
    def show_tag(self, request: Request, kind: str, id: str, tag: str) -> Answer:
        """Whether a resource has a tag."""
        _, row = self._tagged(request, kind, id)
        self._one(row, tag)
        return Answer(204)

    @route("PUT", "/v2.0/{kind}/{id}/tags/{tag}")
    def add_tag(self, request: Request, kind: str, id: str, tag: str) -> Answer:
        """Add a tag to a resource."""
        found, row = self._tagged(request, kind, id, own=True)
        self._set(found, row, [*row["tags"], tag])
        return Answer(201)

    @route("DELETE", "/v2.0/{kind}/{id}/tags/{tag}")
    def remove_tag(self, request: Request, kind: str, id: str, tag: str) -> Answer:
        """Remove a tag from a resource."""
        found, row = self._tagged(request, kind, id, own=True)
        tag = self._one(row, tag)
        self._set(found, row, [name for name in row["tags"] if name != tag])
        return Answer(204)
