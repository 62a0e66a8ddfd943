"""What all of Cinder's operations have in common: its words, its microversion, lists and their pages, and quotas."""

from __future__ import annotations

import ast
import re
from datetime import UTC, datetime
from urllib.parse import urlencode

from faafo_lab.cloud.emulator.common.service import JSON, Answer, Fault, Found, Request, Service, nova_error, route
from faafo_lab.cloud.emulator.common.store import Row, Table
from faafo_lab.cloud.emulator.common.token import Tokens
from faafo_lab.cloud.emulator.site import Site

VERSION = (3, 0)  # the first and the last
PAGE_MAX = 1000
ZONE = "nova"
SORT_KEYS = ("id", "name", "status", "size", "bootable", "created_at", "updated_at")
FILTER_CHARACTERS_MAX = 4096

QUOTAS = {
    "volumes": 10,
    "snapshots": 10,
    "gigabytes": 1000,  # of volumes and snapshots together
    "per_volume_gigabytes": -1,
    "backups": 0,  # there are none of these two
    "backup_gigabytes": 0,
    "groups": 0,
}
_TEXT = {"type": ["string", "null"], "maxLength": 255}
NAMES: JSON = {"name": _TEXT, "display_name": _TEXT, "description": _TEXT, "display_description": _TEXT}
METADATA: JSON = {
    "type": ["object", "null"],
    "keys": {"type": "string", "minLength": 1, "maxLength": 255, "pattern": r"^[a-zA-Z0-9-_:. ]{1,255}$"},
    "additionalProperties": {"type": "string", "maxLength": 255},
}


def moment() -> str:
    """The moment as Cinder writes it: 2026-01-31T12:00:00.123456."""
    return datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%S.%f")


def named(wanted: JSON) -> JSON:
    """The name and the description that a body has, under their old names too."""
    found = {}
    for field in ("name", "description"):
        for each in (f"display_{field}", field):
            if each in wanted:
                found[field] = wanted[each].strip() if wanted[each] else wanted[each]
    return found


def truth(value: object, name: str) -> bool:
    """A boolean, in one of the ways in which Cinder's clients write it. Raises a 400 `Fault`."""
    text = str(value).lower()
    if text in ("true", "1", "t", "yes", "y", "on"):
        return True
    if text in ("false", "0", "f", "no", "n", "off"):
        return False
    raise Fault(400, f"Invalid input for field/attribute {name}. Value: {text[:120]}. It must be true or false.")


class Cinder(Service):
    """The block storage service, without its resources. Its paths have the project's id: /v3/PROJECT/volumes."""

    prefix, type, name, endpoint = "/volume", "volumev3", "cinderv3", "/v3/{project}"
    aliases = (("block-storage", "cinder"),)
    QUOTAS = QUOTAS

    def __init__(self, site: Site, tokens: Tokens) -> None:
        super().__init__(site, tokens)
        self.volumes: Table[Row] = self.store.table("volume")
        self.snapshots: Table[Row] = self.store.table("volume_snapshot")

    # Words, paths and versions

    def error(self, fault: Fault) -> JSON:
        """Cinder's form, which is Nova's."""
        return nova_error(fault)

    def path(self, path: str) -> str:
        """A slash at the end of a resource's path would be a resource without an id: there is none."""
        return path.rstrip("/") or "/" if path.count("/") <= 2 else path

    def find(self, method: str, path: str) -> Found:
        """The route; the project in the path is no part of it for the handlers."""
        found = super().find(method, path)
        found.values.pop("project", None)
        return found

    def authenticate(self, request: Request) -> None:
        """The path's project must be the token's."""
        super().authenticate(request)
        if request.path.split("/")[2] != request.project:
            raise Fault(400, "Malformed request url")

    def answer_headers(self, request: Request) -> dict[str, str]:
        """Every answer says which microversion it is of."""
        return {
            "Openstack-Api-Version": f"volume {VERSION[0]}.{VERSION[1]}",
            "Vary": "OpenStack-API-Version",
            "X-Openstack-Request-Id": request.id,
            "X-Compute-Request-Id": request.id,
        }

    def negotiate(self, request: Request) -> None:
        """There is one microversion, 3.0. Raises a 400 or 406 `Fault` for another."""
        request.version = VERSION
        for part in request.headers.get("OpenStack-API-Version", "").split(","):
            service, _, version = (word.strip() for word in part.strip().partition(" "))
            if service != "volume" or version in ("", "latest", "3.0"):
                continue
            if not re.fullmatch(r"[1-9][0-9]{0,5}\.(0|[1-9][0-9]{0,5})", version):
                raise Fault(
                    400, f"API Version String {version[:40]} is of invalid format. Must be of format MajorNum.MinorNum."
                )
            raise Fault(406, f"Version {version} is not supported by the API. Minimum is 3.0 and maximum is 3.0.")

    def _versions(self) -> JSON:
        version = {
            "id": "v3.0",
            "status": "CURRENT",
            "version": "3.0",
            "min_version": "3.0",
            "updated": "2023-08-31T00:00:00Z",
            "links": [
                {"rel": "describedby", "type": "text/html", "href": "https://docs.openstack.org/"},
                {"rel": "self", "href": f"{self.url}/v3/"},
            ],
            "media-types": [{"base": "application/json", "type": "application/vnd.openstack.volume+json;version=3"}],
        }
        return {"versions": [version]}

    @route("GET", "/", open=True)
    def versions(self, request: Request) -> Answer:
        """Which versions there are."""
        return Answer(300, self._versions())

    @route("GET", "/v3", open=True)
    def version(self, request: Request) -> JSON:
        """The version that there is."""
        return self._versions()

    def _links(self, request: Request, kind: str, id: str) -> list[JSON]:
        return [
            {"rel": "self", "href": f"{self.url}/v3/{request.project}/{kind}/{id}"},
            {"rel": "bookmark", "href": f"{self.url}/{request.project}/{kind}/{id}"},
        ]

    def volume(self, request: Request, id: str | None) -> Row:
        """The project's volume. Raises a 404 `Fault`."""
        row = self.volumes.get(id)
        if row is None or row["project_id"] != request.project:
            raise Fault(404, f"Volume {id} could not be found.")
        return row

    def snapshot(self, request: Request, id: str | None) -> Row:
        """The project's snapshot. Raises a 404 `Fault`."""
        row = self.snapshots.get(id)
        if row is None or row["project_id"] != request.project:
            raise Fault(404, f"Snapshot {id} could not be found.")
        return row

    # Lists

    def _listed(self, request: Request, rows: list[Row], filters: tuple[str, ...]) -> list[Row]:
        """The rows that fit the query, sorted; a filter that an ordinary user may not use counts for nothing."""
        wanted = {name: request.one(name) for name in filters if request.one(name) is not None}
        if "name" in filters and "name" not in wanted and request.one("display_name") is not None:
            wanted["name"] = request.one("display_name")
        metadata = _mapping(wanted.pop("metadata", None) or "{}")
        if metadata is None:
            return []
        found = [
            row
            for row in rows
            if all(str(row[name]).lower() == str(value).lower() for name, value in wanted.items())
            and metadata.items() <= row["metadata"].items()
        ]
        return _sorted(found, request)

    def _page(self, request: Request, rows: list[Row], kind: str) -> tuple[list[Row], JSON]:
        """The rows after marker and offset, at most `limit`, and, where the page is full, the link to the next."""
        try:
            limit, offset = request.number("limit"), request.number("offset") or 0
        except ValueError as error:
            raise Fault(400, f"Invalid input received: {error}.") from None
        if marker := request.one("marker"):
            ids = [row["id"] for row in rows]
            if marker not in ids:
                raise Fault(404, f"{kind[:-1].capitalize()} {marker} could not be found.")
            offset += ids.index(marker) + 1
        most = min(PAGE_MAX if limit is None else limit, PAGE_MAX)
        page = rows[offset : offset + most]
        if not page or len(page) < most:
            return page, {}
        query = {**request.query, "marker": [page[-1]["id"]]}
        query.pop("offset", None)
        href = f"{self.url}{request.path}?{urlencode(query, doseq=True)}"
        return page, {f"{kind}_links": [{"rel": "next", "href": href}]}

    # Quotas

    def used(self, project: str) -> dict[str, int]:
        """How many volumes, snapshots and gigabytes a project has."""
        volumes, snapshots = self.volumes.where(project_id=project), self.snapshots.where(project_id=project)
        gigabytes = sum(row["size"] for row in (*volumes, *snapshots))
        return {"volumes": len(volumes), "snapshots": len(snapshots), "gigabytes": gigabytes}

    def _claim(self, project: str, kind: str, gigabytes: int) -> None:
        """Check that the project may have one more volume or snapshot ("" for none). Raises a 413 `Fault`."""
        used = self.used(project)
        if kind and 0 <= self.limit(kind) <= used[kind]:
            title = {"volumes": "VolumeLimitExceeded", "snapshots": "SnapshotLimitExceeded"}[kind]
            why = f"Maximum number of {kind} allowed ({self.limit(kind)}) exceeded for quota '{kind}'."
            raise Fault(413, f"{title}: {why}", headers={"Retry-After": "0"})
        if 0 <= self.limit("gigabytes") < used["gigabytes"] + gigabytes:
            raise Fault(
                413,
                "VolumeSizeExceedsAvailableQuota: Requested volume or snapshot exceeds allowed gigabytes quota. "
                f"Requested {gigabytes}G, quota is {self.limit('gigabytes')}G and {used['gigabytes']}G has been "
                "consumed.",
                headers={"Retry-After": "0"},
            )

    def _claim_size(self, size: int) -> None:
        """Check that a volume may be so large. Raises a 413 `Fault`."""
        if 0 <= self.limit("per_volume_gigabytes") < size:
            raise Fault(
                413,
                f"VolumeSizeExceedsLimit: Requested volume size {size}G is larger than maximum allowed limit "
                f"{self.limit('per_volume_gigabytes')}G.",
                headers={"Retry-After": "0"},
            )


def _mapping(text: str) -> dict[str, str] | None:
    """The metadata of a filter, as clients write it: JSON or Python. None where it is neither."""
    try:
        found = ast.literal_eval(text[:FILTER_CHARACTERS_MAX])
    except (ValueError, SyntaxError, TypeError, MemoryError, RecursionError):
        return None
    if not isinstance(found, dict):
        return None
    return {str(name): str(value) for name, value in found.items()}


def _sorted(rows: list[Row], request: Request) -> list[Row]:
    """Sorted by `sort=name:asc,…` or by `sort_key` and `sort_dir`; the newest first where nothing is said."""
    text = request.one("sort")
    if text is not None and (request.one("sort_key") or request.one("sort_dir")):
        raise Fault(400, "The 'sort_key' and 'sort_dir' parameters are deprecated and cannot be used with 'sort'.")
    if text is None:
        text = f"{request.one('sort_key') or 'created_at'}:{request.one('sort_dir') or 'desc'}"
    rows = sorted(rows, key=lambda row: str(row["id"]), reverse=True)
    for part in reversed(text.split(",")):
        name, _, direction = part.strip().partition(":")
        key = {"display_name": "name"}.get(name, name)
        if key not in SORT_KEYS or direction not in ("", "asc", "desc"):
            raise Fault(400, f"Invalid input received: there is no sort key {part[:60]!r}.")
        rows.sort(
            key=lambda row: (row.get(key) is not None, row.get(key) or 0 if key == "size" else str(row.get(key))),
            reverse=direction != "asc",
        )
    return rows
