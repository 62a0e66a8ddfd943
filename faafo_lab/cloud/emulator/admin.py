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
import secrets
from collections.abc import Callable

from faafo_lab.cloud.emulator.common import schema
from faafo_lab.cloud.emulator.common.service import JSON, Answer, Fault, Request, Service, keystone_error, new_id, route
from faafo_lab.cloud.emulator.common.token import Tokens
from faafo_lab.cloud.emulator.machinery.switch.faults import ATTRIBUTES, LinkFault
from faafo_lab.cloud.emulator.machinery.switch.switch import Switch
from faafo_lab.cloud.emulator.site import Site
from faafo_lab.cloud.emulator.system import durable

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


class Admin(Service):
    """The one resource: faults."""

    prefix, type, name = "/admin", "admin", "faafo-lab"

    def __init__(self, site: Site, tokens: Tokens, switch: Switch, exists: Callable[[str], bool]) -> None:
        """Write a new token into the state directory. `exists`: whether there is a server of this id."""
        super().__init__(site, tokens)
        self._token, self._switch, self._exists = secrets.token_urlsafe(32), switch, exists
        durable.write_private(site.directory / TOKEN_FILE, self._token)

    def error(self, fault: Fault) -> JSON:
        """In Keystone's form."""
        return keystone_error(fault)

    def invalid(self, error: schema.Invalid) -> Fault:
        """Which part of the body does not fit, and why."""
        return Fault(400, f"{error.path or 'The body'}: {error.reason}.")

    def authenticate(self, request: Request) -> None:
        """Let in who has the token; by then the faults of servers that are gone have ended."""
        given = request.headers.get("Authorization", "")
        if not hmac.compare_digest(given.encode(), f"Bearer {self._token}".encode()):
            raise Fault(401, f"The admin API needs the token of the file {TOKEN_FILE} beside clouds.yaml.")
        for fault in self._switch.faults:
            if not all(map(self._exists, filter(None, (fault.target, fault.source)))):
                self._switch.end_fault(fault.id)

    @route("GET", "/faults")
    def index(self, request: Request) -> JSON:
        """All faults."""
        return {"faults": [fault.shown() for fault in self._switch.faults]}

    @route("POST", "/faults")
    def create(self, request: Request) -> Answer:
        """One more fault."""
        try:
            body = request.json()
        except ValueError as error:
            raise Fault(400, f"The body is not JSON: {error}.") from None
        schema.check(body, FAULT)
        attributes = body.get("attributes", {})
        known = ATTRIBUTES[body["type"]]
        for name, value in attributes.items():
            if name not in known:
                message = f"{body['type']} has no attribute {schema.shown(name)}, but {', '.join(known)}."
                raise Fault(400, message)
            schema.check(value, VALUE, f"attributes.{name}")
        for id in filter(None, (body["target"], body.get("source"))):
            if not self._exists(id):
                raise Fault(400, f"There is no server {schema.shown(id)}.")
        where = body["target"], body.get("source"), body.get("port")
        fault = LinkFault(new_id(), body["type"], *where, attributes)
        self._switch.begin_fault(fault)
        return Answer(201, fault.shown())

    @route("DELETE", "/faults")
    @route("DELETE", "/faults/{id}")
    def delete(self, request: Request, id: str | None = None) -> Answer:
        """The end of one fault, or of all."""
        there = [fault.id for fault in self._switch.faults]
        if id is not None and id not in there:
            raise Fault(404, f"There is no fault {id}.")
        for each in there if id is None else [id]:
            self._switch.end_fault(each)
        return Answer(204)
