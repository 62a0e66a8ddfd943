"""What images and their members look like. Source: https://docs.openstack.org/api-ref/image/v2/#image-schemas"""

from __future__ import annotations

from faafo_lab.cloud.emulator.common.service import JSON, Request, route
from faafo_lab.cloud.emulator.services.image.attributes import BASE, READ_ONLY, STATUSES


class Schemas:
    """The schemas of images, members and lists of them."""

    @route("GET", "/v2/schemas/image")
    def show_schema(self, request: Request) -> JSON:
        """What an image looks like."""
        read_only = {name: {"type": ["null", "string", "integer"], "readOnly": True} for name in sorted(READ_ONLY)}
        return {
            "name": "image",
            "properties": {**read_only, **BASE},
            "additionalProperties": {"type": "string"},
            "links": [
                {"rel": "self", "href": "{self}"},
                {"rel": "enclosure", "href": "{file}"},
                {"rel": "describedby", "href": "{schema}"},
            ],
        }

    @route("GET", "/v2/schemas/images")
    def show_list_schema(self, request: Request) -> JSON:
        """What a list of images looks like."""
        return {
            "name": "images",
            "properties": {
                "images": {"type": "array", "items": self.show_schema(request)},
                "first": {"type": "string"},
                "next": {"type": "string"},
                "schema": {"type": "string"},
            },
            "links": [
                {"rel": "first", "href": "{first}"},
                {"rel": "next", "href": "{next}"},
                {"rel": "describedby", "href": "{schema}"},
            ],
        }

    @route("GET", "/v2/schemas/member")
    def show_member_schema(self, request: Request) -> JSON:
        """What a member of an image looks like."""
        texts = ("created_at", "updated_at", "image_id", "member_id", "schema")
        properties: JSON = {name: {"type": "string"} for name in texts}
        return {"name": "member", "properties": {**properties, "status": {"type": "string", "enum": list(STATUSES)}}}

    @route("GET", "/v2/schemas/members")
    def show_members_schema(self, request: Request) -> JSON:
        """What a list of members looks like."""
        items = {"type": "array", "items": self.show_member_schema(request)}
        return {"name": "members", "properties": {"members": items, "schema": {"type": "string"}}, "links": []}
