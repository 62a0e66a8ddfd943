"""What all of Cinder's operations have in common: its words, its microversion, lists and their pages, and metadata."""

from __future__ import annotations

import ast
import re
from datetime import UTC, datetime

from faafo_lab.cloud.emulator.common.pages import Pager, pairs
from faafo_lab.cloud.emulator.common.service import JSON, Answer, Fault, Found, Request, Service, nova_error, route
from faafo_lab.cloud.emulator.common.store import Row
from faafo_lab.cloud.emulator.common.token import Tokens
from faafo_lab.cloud.emulator.site import Site

VERSION = (3, 0)  # the first and the last
ZONE = "nova"
SORT_KEYS = ("id", "name", "status", "size", "bootable", "created_at", "updated_at")


def _pager(title: str) -> Pager:
    def bad_sort(key: str, direction: str) -> Fault:
        what = f"{key}:{direction}" if key in SORT_KEYS else key
        return Fault(400, f"Invalid input received: there is no sort key {what[:60]!r}.")

    return Pager(
        bad_number=lambda name, value: Fault(
            400, f"Invalid input received: {name} must be a whole number, not {value}."
        ),
        no_marker=lambda marker: Fault(404, f"{title} {marker} could not be found."),
        bad_sort=bad_sort,
        most=1000,
        keys=SORT_KEYS,
        full=True,
    )


_PAGERS = {"volumes": _pager("Volume"), "snapshots": _pager("Snapshot")}
FILTER_CHARACTERS_MAX = 4096

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


def forbidden(action: str) -> Fault:
    """What only an administrator may do: there is none."""
    return Fault(403, f"Policy doesn't allow {action} to be performed.")


class Cinder(Service):
    """The block storage service, without its resources. Its paths have the project's id: /v3/PROJECT/volumes."""

    prefix, type, name, endpoint = "/volume", "volumev3", "cinderv3", "/v3/{project}"
    aliases = (("block-storage", "cinder"),)

    def __init__(self, site: Site, tokens: Tokens) -> None:
        super().__init__(site, tokens)
        self.volumes = self.store.table("volume")
        self.snapshots = self.store.table("volume_snapshot")

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
            if not re.fullmatch(r"[1-9]\d{0,5}\.(0|[1-9]\d{0,5})", version):
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
        pager = _PAGERS[kind]
        return pager.page(rows, request, self.url, kind, pager.number(request, "offset") or 0)


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
    return _PAGERS["volumes"].sort(
        rows, [({"display_name": "name"}.get(key, key), way) for key, way in pairs(text, "desc")]
    )
