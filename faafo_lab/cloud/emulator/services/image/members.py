"""Who may see an image: its owner, everybody, or the projects that it is shared with.

A project that an image is shared with sees it by its id at once, and in lists once it has accepted it.
Source: https://docs.openstack.org/api-ref/image/v2/#sharing
"""

from __future__ import annotations

from faafo_lab.cloud.emulator.common.service import JSON, Answer, Fault, Request, Service, now, route
from faafo_lab.cloud.emulator.common.store import Row, Table
from faafo_lab.cloud.emulator.services.image.attributes import STATUSES

MAX_MEMBERS = 128


class Members(Service):
    """An image's members."""

    @property
    def members(self) -> Table[Row]:
        """All images' members, by image and project."""
        return self.store.table("image_member")

    def image(self, request: Request, id: str) -> Row:
        """The image with this id that the project may see."""
        raise NotImplementedError

    def own(self, request: Request, id: str, action: str) -> Row:
        """The image, where the project may change it."""
        raise NotImplementedError

    def visible(self, row: Row, project: str) -> bool:
        """Whether a project may see an image."""
        shared = row["visibility"] == "shared" and f"{row['id']}/{project}" in self.members
        return bool(row["visibility"] in ("public", "community") or row["owner"] == project or shared)

    def listed(self, row: Row, request: Request) -> bool:
        """Whether a list has an image: not others' community images, nor shared ones that were not accepted."""
        status = request.one("member_status") or "accepted"
        if status not in (*STATUSES, "all"):
            raise Fault(400, f"Invalid status: {status}")
        if row["owner"] == request.project or row["visibility"] == "public":
            return True
        if row["visibility"] == "community":
            return request.one("visibility") in ("community", "all")
        member = self.members.get(f"{row['id']}/{request.project}") if row["visibility"] == "shared" else None
        return member is not None and status in (member["status"], "all")

    def forget(self, image: str) -> None:
        """Remove the members of an image that goes."""
        for row in self.members.where(image_id=image):
            self.members.delete(row["id"])

    def _shown(self, row: Row) -> JSON:
        return {**{name: value for name, value in row.items() if name != "id"}, "schema": "/v2/schemas/member"}

    def _shared(self, request: Request, id: str, action: str) -> Row:
        """The project's own image, which is for sharing. Raises a `Fault`."""
        row = self.own(request, id, action)
        if row["visibility"] != "shared":
            raise Fault(403, "Only shared images have members.")
        return row

    def _member(self, request: Request, id: str, project: str) -> Row:
        """An image's member, as its owner and the member itself may see it. Raises a 404 `Fault`."""
        image, row = self.image(request, id), self.members.get(f"{id}/{project}")
        if row is None or request.project not in (image["owner"], project):
            raise Fault(404, f"{project} not found in the member list of the image {id}.")
        return row

    @route("GET", "/v2/images/{id}/members")
    def list_members(self, request: Request, id: str) -> JSON:
        """The projects that an image is shared with."""
        image = self.image(request, id)
        if image["visibility"] != "shared":
            raise Fault(403, "Only shared images have members.")
        rows = self.members.where(image_id=id)
        seen = [row for row in rows if request.project in (image["owner"], row["member_id"])]
        return {"members": [self._shown(row) for row in seen], "schema": "/v2/schemas/members"}

    @route("POST", "/v2/images/{id}/members")
    def add_member(self, request: Request, id: str) -> JSON:
        """Share an image with a project."""
        self._shared(request, id, "add_member")
        project = request.parse().get("member")
        if not isinstance(project, str) or not project or len(project) > 255:
            raise Fault(400, "Member can't be empty: the body must have 'member', the id of a project.")
        if f"{id}/{project}" in self.members:
            raise Fault(409, f"Image member {project} already exists for image {id}.")
        if len(self.members.where(image_id=id)) >= MAX_MEMBERS:
            raise Fault(413, f"The limit has been exceeded on the number of allowed image members: {MAX_MEMBERS}.")
        moment = now()
        row = {"image_id": id, "member_id": project, "status": "pending", "created_at": moment, "updated_at": moment}
        return self._shown(self.members.put({"id": f"{id}/{project}", **row}))

    @route("GET", "/v2/images/{id}/members/{project}")
    def show_member(self, request: Request, id: str, project: str) -> JSON:
        """One of the projects that an image is shared with."""
        return self._shown(self._member(request, id, project))

    @route("PUT", "/v2/images/{id}/members/{project}")
    def update_member(self, request: Request, id: str, project: str) -> JSON:
        """Accept or reject an image that is shared with the project."""
        row = self._member(request, id, project)
        if request.project != project:
            raise Fault(403, "You are not authorized to complete modify_member action.")
        status = request.parse().get("status")
        if status not in STATUSES:
            raise Fault(400, f"Invalid status: it must be one of {', '.join(STATUSES)}.")
        return self._shown(self.members.update(row["id"], status=status, updated_at=now()))

    @route("DELETE", "/v2/images/{id}/members/{project}")
    def remove_member(self, request: Request, id: str, project: str) -> Answer:
        """Stop sharing an image with a project."""
        self._shared(request, id, "delete_member")
        self.members.delete(self._member(request, id, project)["id"])
        return Answer(204)
