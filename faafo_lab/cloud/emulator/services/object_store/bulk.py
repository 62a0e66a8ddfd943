"""Deleting many objects and containers with one request: a line for each, quoted, in the body.

Source: https://docs.openstack.org/swift/latest/middleware.html#bulk-delete
"""

from __future__ import annotations

import json
from http import HTTPStatus
from urllib.parse import quote

from faafo_lab.cloud.emulator.common.service import Answer, Fault, Request
from faafo_lab.cloud.emulator.services.object_store import listing
from faafo_lab.cloud.emulator.services.object_store.metadata import meant

MAX_DELETES = 10_000
MAX_BODY_BYTES = MAX_DELETES * 2048


def paths(body: bytes) -> list[str]:
    """The paths that a body names. Raises 400 and 413 `Fault`s."""
    try:
        lines = [line.strip() for line in body.decode("latin-1").splitlines()]
        found = [meant(line) for line in lines if line]
    except Fault:
        raise Fault(400, "The names must be UTF-8, quoted, one in a line.") from None
    if len(found) > MAX_DELETES:
        raise Fault(413, f"Maximum Bulk Deletes: {MAX_DELETES} per request")
    return found


def answer(request: Request, deleted: int, missing: int, errors: list[tuple[str, int]], body: str = "") -> Answer:
    """What has become of it: the status is always 200, what went wrong is in the body."""
    status = 400 if errors else 200 if deleted or missing else 400
    if not deleted and not missing and not errors:
        body = body or "Invalid bulk delete."
    named = [[quote(path), f"{code} {HTTPStatus(code).phrase}"] for path, code in errors]
    result = {
        "Number Deleted": deleted,
        "Number Not Found": missing,
        "Response Status": f"{status} {HTTPStatus(status).phrase}",
        "Response Body": body,
        "Errors": named,
    }
    if listing.form(request) == "json":
        return Answer(200, json.dumps(result).encode(), {"Content-Type": listing.FORMS["json"]})
    lines = [f"{name}: {value}" for name, value in result.items() if name != "Errors"]
    lines += ["Errors:", *(", ".join(each) for each in named)]
    return Answer(200, "\n".join(lines).encode(), {"Content-Type": listing.FORMS["plain"]})
