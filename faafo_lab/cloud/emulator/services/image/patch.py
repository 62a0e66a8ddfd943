"""Changes to an image: JSON patches of its top level, in the form of RFC 6902 and in the one before it.

    [{"op": "replace", "path": "/name", "value": "new"}]     application/openstack-images-v2.1-json-patch
    [{"replace": "/name", "value": "new"}]                   application/openstack-images-v2.0-json-patch

Source: https://docs.openstack.org/api-ref/image/v2/#update-image
"""

from __future__ import annotations

import re

from faafo_lab.cloud.emulator.common import schema
from faafo_lab.cloud.emulator.common.service import JSON, Fault, Request
from faafo_lab.cloud.emulator.services.image.schemas import BASE, READ_ONLY

OPERATIONS = ("add", "replace", "remove")
_TYPE = re.compile(r"application/openstack-images-v2\.([01])-json-patch")
_PATCH = {
    "type": "array",
    "items": {
        "type": "object",
        "required": ["op", "path"],
        "properties": {
            "op": {"type": "string", "enum": OPERATIONS},
            "path": {"type": "string", "pattern": r"^/[^/]+$"},
        },
    },
}


def read_patch(request: Request) -> list[JSON]:
    """The changes that a request asks for, as `op`, `path` and `value`. Raises a 400 or 415 `Fault`."""
    found = _TYPE.match(request.headers.get("Content-Type", ""))
    if found is None:
        raise Fault(415, "Unsupported Content-Type: use application/openstack-images-v2.1-json-patch.")
    try:
        request.body = b'{"patch": ' + request.body + b"}"
        changes = request.json()["patch"]
    except ValueError:
        raise Fault(400, "Malformed request body") from None
    if found[1] == "0" and isinstance(changes, list):
        changes = [_modern(change) for change in changes]
    try:
        schema.check(changes, _PATCH)
    except schema.Invalid as error:
        raise Fault(400, f"Invalid JSON patch: {error.reason}") from None
    for change in changes:
        if change["op"] != "remove" and "value" not in change:
            raise Fault(400, f'Operation "{change["op"]}" requires a member named "value".')
    return list(changes)


def _modern(change: object) -> object:
    """A change of the older form, `{"replace": "/name", …}`, in the newer one."""
    if not isinstance(change, dict):
        return change
    named = [op for op in OPERATIONS if op in change]
    if len(named) != 1:
        raise Fault(400, f"Operation objects must contain exactly one member named {', '.join(OPERATIONS)}.")
    value = {"value": change["value"]} if "value" in change else {}
    return {"op": named[0], "path": change[named[0]], **value}


def apply_patch(view: JSON, changes: list[JSON]) -> None:
    """Change the attributes and properties in `view`. Raises a 403 or 409 `Fault` for what may not be changed."""
    for change in changes:
        name = str(change["path"]).removeprefix("/").replace("~1", "/").replace("~0", "~")
        if name in READ_ONLY:
            raise Fault(403, f"Attribute '{name}' is read-only.")
        if change["op"] != "add" and name not in view:
            raise Fault(409, f"Property {name} does not exist.")
        if change["op"] == "remove":
            if name in BASE:
                raise Fault(403, f"Property {name} may not be removed.")
            del view[name]
        else:
            view[name] = change["value"]
