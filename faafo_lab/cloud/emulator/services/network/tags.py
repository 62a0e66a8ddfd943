"""Tags of Neutron's resources. Source: https://docs.openstack.org/api-ref/network/v2/#standard-attributes-tag-extension"""

from __future__ import annotations

from collections.abc import Callable

from faafo_lab.cloud.emulator.common.service import JSON, Answer, Request, route
from faafo_lab.cloud.emulator.services.network.base import Collection
from faafo_lab.cloud.emulator.services.network.checks import each, text
from faafo_lab.cloud.emulator.services.network.words import invalid, refused

TAG_CHARACTERS = 255
MAX_TAGS = 50


class Tags:
    """The tags of any resource of the network service."""

    def __init__(self, kind: Callable[[str], Collection]) -> None:
        """`kind` finds the collection by its path's name. Raises a 404 `Fault`."""
        self._kind = kind

    def _of(self, request: Request, kind: str, id: str, tag: str | None = None) -> list[str]:
        """A resource's tags. Raises a 404 `Fault` where there is no such, or no such tag."""
        tags: list[str] = self._kind(kind).find(request, id)["tags"]
        if tag is not None and tag not in tags:
            raise refused("TagNotFound", tag)
        return tags

    def _set(self, request: Request, kind: str, id: str, tags: list[str]) -> list[str]:
        """Change them. Raises a `Fault`: 403 where the project may not, 400 for what are no tags."""
        collection = self._kind(kind)
        collection.own(request, id)
        try:
            tags = sorted(set(each(text(TAG_CHARACTERS))(tags)))
        except ValueError as error:
            raise invalid("tags", str(error)) from None
        if len(tags) > MAX_TAGS:
            raise invalid("tags", f"The number of tags exceed the per-resource limit of {MAX_TAGS}")
        collection.touch(id, tags=tags)
        return tags

    @route("GET", "/v2.0/{kind}/{id}/tags")
    def list_tags(self, request: Request, kind: str, id: str) -> JSON:
        """A resource's tags."""
        return {"tags": self._of(request, kind, id)}

    @route("PUT", "/v2.0/{kind}/{id}/tags")
    def replace_tags(self, request: Request, kind: str, id: str) -> JSON:
        """Replace all of a resource's tags."""
        body = request.parse()
        if "tags" not in body:
            raise refused("HTTPBadRequest", "Invalid tags body: it must have 'tags'.")
        return {"tags": self._set(request, kind, id, body["tags"])}

    @route("DELETE", "/v2.0/{kind}/{id}/tags")
    def remove_tags(self, request: Request, kind: str, id: str) -> Answer:
        """Remove all of a resource's tags."""
        self._set(request, kind, id, [])
        return Answer(204)

    @route("GET", "/v2.0/{kind}/{id}/tags/{tag}")
    def show_tag(self, request: Request, kind: str, id: str, tag: str) -> Answer:
        """Whether a resource has a tag."""
        self._of(request, kind, id, tag)
        return Answer(204)

    @route("PUT", "/v2.0/{kind}/{id}/tags/{tag}")
    def add_tag(self, request: Request, kind: str, id: str, tag: str) -> Answer:
        """Add a tag to a resource."""
        self._set(request, kind, id, [*self._of(request, kind, id), tag])
        return Answer(201)

    @route("DELETE", "/v2.0/{kind}/{id}/tags/{tag}")
    def remove_tag(self, request: Request, kind: str, id: str, tag: str) -> Answer:
        """Remove a tag from a resource."""
        self._set(request, kind, id, [name for name in self._of(request, kind, id, tag) if name != tag])
        return Answer(204)
