"""The embedded cloud's own admin API, for network faults. It is no OpenStack API: no other cloud has it.

    GET    /admin/faults         {"faults": [{"id", "type", "source", "target", "port", "attributes"}, …]}
    POST   /admin/faults         one more: answers 201 and the fault with its id
    DELETE /admin/faults         the end of all faults (204)
    DELETE /admin/faults/ID      the end of one (204)

    {"type": "latency", "source": "SERVER-ID", "target": "SERVER-ID", "port": 5432, "attributes": {"latency": 100}}

`source` null is anybody, `port` null every port but SSH's; `switch/faults.py` has the types and their attributes. Every
request needs the header "Authorization: Bearer TOKEN", whose token is in the file `admin.token` (mode 0600) beside
clouds.yaml, anew at each start. A fault ends with the deletion of either of its servers, and with the emulator.
"""

from __future__ import annotations

import hmac
import json
import os
import secrets
import uuid
from collections.abc import Callable
from pathlib import Path

from tornado.web import RequestHandler

from faafo_lab.cloud.emulator.common import schema
from faafo_lab.cloud.emulator.machinery.switch.faults import ATTRIBUTES, LinkFault
from faafo_lab.cloud.emulator.machinery.switch.switch import Switch

ROUTE = r"/admin/faults(?:/([^/]+))?"
TOKEN_FILE = "admin.token"  # noqa: S105  its name
VALUE_MAX = 1 << 40
FAULT: schema.Schema = {
    "type": "object",
    "required": ["type", "target"],
    "additionalProperties": False,
    "properties": {
        "type": {"type": "string", "enum": list(ATTRIBUTES)},
        "source": {"type": ["string", "null"]},
        "target": {"type": "string"},
        "port": {"type": ["integer", "null"], "minimum": 1, "maximum": 65535},
        "attributes": {"type": "object"},
    },
}
VALUE: schema.Schema = {"type": "integer", "minimum": 0, "maximum": VALUE_MAX}


def write_token(directory: Path) -> str:
    """Write a new token into the state directory, for its user alone. Returns it."""
    token = secrets.token_urlsafe(32)
    path = directory / TOKEN_FILE
    path.unlink(missing_ok=True)
    with os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w", encoding="utf-8") as file:
        file.write(token)
    return token


class Admin(RequestHandler):
    """The one resource: faults."""

    def initialize(self, token: str, switch: Switch, exists: Callable[[str], bool]) -> None:
        """Called by Tornado for each request. `exists`: whether there is a server of this id."""
        self._token, self._switch, self._exists = token, switch, exists

    def prepare(self) -> None:
        """Let in who has the token."""
        given = self.request.headers.get("Authorization", "")
        if not hmac.compare_digest(given.encode(), f"Bearer {self._token}".encode()):
            self._refuse(401, f"The admin API needs the token of the file {TOKEN_FILE} beside clouds.yaml.")
            return
        for fault in self._switch.faults:
            if not all(map(self._exists, filter(None, (fault.target, fault.source)))):
                self._switch.end_fault(fault.id)

    def get(self, id: str | None) -> None:
        """All faults."""
        if id is None:
            self.finish({"faults": [fault.shown() for fault in self._switch.faults]})
        else:
            self._refuse(405, "Faults are listed all together: GET /admin/faults.")

    def post(self, id: str | None) -> None:
        """One more fault."""
        if id is not None:
            self._refuse(405, "A fault's id is the cloud's to choose: POST /admin/faults.")
            return
        try:
            fault = self._wanted()
        except ValueError as error:
            self._refuse(400, str(error))
            return
        self._switch.begin_fault(fault)
        self.set_status(201)
        self.finish(fault.shown())

    def delete(self, id: str | None) -> None:
        """The end of one fault, or of all."""
        there = [fault.id for fault in self._switch.faults]
        if id is not None and id not in there:
            self._refuse(404, f"There is no fault {id}.")
            return
        for each in there if id is None else [id]:
            self._switch.end_fault(each)
        self.set_status(204)

    def _wanted(self) -> LinkFault:
        """The fault that the body asks for. Raises ValueError with what is wrong with it."""
        try:
            body = json.loads(self.request.body)
            schema.check(body, FAULT)
            attributes = body.get("attributes", {})
            known = ATTRIBUTES[body["type"]]
            for name, value in attributes.items():
                if name not in known:
                    raise ValueError(f"{body['type']} has no attribute {schema.shown(name)}, but {', '.join(known)}.")
                schema.check(value, VALUE, f"attributes.{name}")
        except schema.Invalid as error:
            raise ValueError(f"{error.path or 'The body'}: {error.reason}.") from None
        except (UnicodeDecodeError, json.JSONDecodeError, RecursionError) as error:
            raise ValueError(f"The body is not JSON: {error}.") from None
        for id in filter(None, (body["target"], body.get("source"))):
            if not self._exists(id):
                raise ValueError(f"There is no server {schema.shown(id)}.")
        where = body["target"], body.get("source"), body.get("port")
        return LinkFault(str(uuid.uuid4()), body["type"], *where, attributes)

    def _refuse(self, status: int, message: str) -> None:
        self.set_status(status)
        self.finish({"error": {"code": status, "message": message}})
