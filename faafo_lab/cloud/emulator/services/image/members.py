"""Who may see an image: its owner, everybody, or the projects that it is shared with.

A project that an image is shared with sees it by its id at once, and in lists once it has accepted it.
Source: https://docs.openstack.org/api-ref/image/v2/#sharing
"""

from __future__ import annotations

from faafo_lab.cloud.emulator.common.service import JSON, Answer, Fault, Request, now, route
from faafo_lab.cloud.emulator.services.image.images import Images
from faafo_lab.cloud.emulator.services.image.rows import ImageRow, MemberRow
from faafo_lab.cloud.emulator.services.image.schemas import STATUSES

MAX_MEMBERS = 128


class Members:
    """An image's members."""

    def __init__(self, images: Images) -> None:
        self._images = images

    def _view(self, row: MemberRow) -> JSON:
        return {**{name: value for name, value in row.items() if name != "id"}, "schema": "/v2/schemas/member"}

    def _member(self, request: Request, id: str, project: str) -> MemberRow:
        """An image's member, as its owner and the member itself may see it. Raises a 404 `Fault`."""
        image, row = self._images.find(request, id), self._images.members.get(f"{id}/{project}")
        if row is None or request.project not in (image["owner"], project):
            raise Fault(404, f"{project} not found in the member list of the image {id}.")
        return row

    @route("GET", "/v2/images/{id}/members")
    def index(self, request: Request, id: str) -> JSON:
        """The projects that an image is shared with."""
        image = _shared(self._images.find(request, id))
        rows = self._images.members.where(image_id=id)
        seen = [row for row in rows if request.project in (image["owner"], row["member_id"])]
        return {"members": [self._view(row) for row in seen], "schema": "/v2/schemas/members"}

    @route("POST", "/v2/images/{id}/members")
    def create(self, request: Request, id: str) -> JSON:
        """Share an image with a project."""
        _shared(self._images.own(request, id, "add_member"))
        project = request.parse().get("member")
        if not isinstance(project, str) or not project or len(project) > 255:
            raise Fault(400, "Member can't be empty: the body must have 'member', the id of a project.")
        if f"{id}/{project}" in self._images.members:
            raise Fault(409, f"Image member {project} already exists for image {id}.")
        if len(self._images.members.where(image_id=id)) >= MAX_MEMBERS:
            raise Fault(413, f"The limit has been exceeded on the number of allowed image members: {MAX_MEMBERS}.")
        moment = now()
        row: MemberRow = {
            "id": f"{id}/{project}",
            "image_id": id,
            "member_id": project,
            "status": "pending",
            "created_at": moment,
            "updated_at": moment,
        }
        return self._view(self._images.members.put(row))

    @route("GET", "/v2/images/{id}/members/{project}")
    def show(self, request: Request, id: str, project: str) -> JSON:
        """One of the projects that an image is shared with."""
        return self._view(self._member(request, id, project))

    @route("PUT", "/v2/images/{id}/members/{project}")
    def update(self, request: Request, id: str, project: str) -> JSON:
        """Accept or reject an image that is shared with the project."""
        row = self._member(request, id, project)
        if request.project != project:
            raise Fault(403, "You are not authorized to complete modify_member action.")
        status = request.parse().get("status")
        if status not in STATUSES:
            raise Fault(400, f"Invalid status: it must be one of {', '.join(STATUSES)}.")
        return self._view(self._images.members.update(row["id"], status=status, updated_at=now()))

    @route("DELETE", "/v2/images/{id}/members/{project}")
    def delete(self, request: Request, id: str, project: str) -> Answer:
        """Stop sharing an image with a project."""
        _shared(self._images.own(request, id, "delete_member"))
        self._images.members.delete(self._member(request, id, project)["id"])
        return Answer(204)


def _shared(image: ImageRow) -> ImageRow:
    """An image that is for sharing. Raises a 403 `Fault`."""
    if image["visibility"] != "shared":
        raise Fault(403, "Only shared images have members.")
    return image
