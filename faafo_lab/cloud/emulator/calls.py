"""How one service asks another, as OpenStack's do: through its API, in the name of who asks."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator

from faafo_lab.cloud.emulator.service import JSON, Fault, Request, Service


async def call(
    service: Service,
    request: Request,
    method: str,
    path: str,
    body: JSON | None = None,
    chunks: AsyncIterator[bytes] | None = None,
) -> JSON:
    """The JSON that `service` answers to a request that is made for `request`. Raises its `Fault`."""
    headers = {"X-Auth-Token": request.headers.get("X-Auth-Token", "")}
    content = json.dumps(body).encode() if body is not None else b""
    answer = await service.handle(Request(method, path, request.query, headers, content, chunks))
    said = answer.body if isinstance(answer.body, dict) else {}
    if answer.status >= 400:
        raise Fault(answer.status, _message(said))
    return said


def _message(said: JSON) -> str:
    """What an error says, in whatever form."""
    if isinstance(said.get("message"), str):
        return str(said["message"]).replace("<br /><br />", "").strip()
    return next((str(each["message"]) for each in said.values() if isinstance(each, dict)), "")
