"""Deleting many objects and containers with one request: a line for each, quoted, in the body.

Source: https://docs.openstack.org/swift/latest/middleware.html#bulk-delete
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Sequence
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


def answer(request: Request, outcomes: Sequence[tuple[str, int]], problem: str = "") -> Answer:
    """What has become of each path, as a status; the answer's own is always 200, what went wrong is in the body."""
    codes = Counter(code for _, code in outcomes)
    errors = [(path, code) for path, code in outcomes if code not in (204, 404)]
    status = 400 if errors or problem else 200
    named = [[quote(path), f"{code} {HTTPStatus(code).phrase}"] for path, code in errors]
    result = {
        "Number Deleted": codes[204],
        "Number Not Found": codes[404],
        "Response Status": f"{status} {HTTPStatus(status).phrase}",
        "Response Body": problem,
        "Errors": named,
    }
    if listing.form(request) == "json":
        return Answer(200, json.dumps(result).encode(), {"Content-Type": listing.FORMS["json"]})
    lines = [f"{name}: {value}" for name, value in result.items() if name != "Errors"]
    lines += ["Errors:", *(", ".join(each) for each in named)]
    return Answer(200, "\n".join(lines).encode(), {"Content-Type": listing.FORMS["plain"]})
