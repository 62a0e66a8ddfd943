"""Asking another service in the name of the client who asks this one, as Nova does with the client's own token."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import replace
from typing import TYPE_CHECKING

from faafo_lab.cloud.emulator.service import JSON, Fault, Request

if TYPE_CHECKING:
    from faafo_lab.cloud.emulator.server import Emulator


def forward(
    request: Request, method: str, path: str, body: JSON | None = None, query: Mapping[str, str] | None = None
) -> Request:
    """A request of the same client for another operation, with the same id."""
    content = b"" if body is None else json.dumps(body).encode()
    parameters = {name: [value] for name, value in (query or {}).items()}
    return replace(request, method=method, path=path, query=parameters, body=content, chunks=None)


async def ask(
    cloud: Emulator,
    request: Request,
    type: str,
    method: str,
    path: str,
    body: JSON | None = None,
    query: Mapping[str, str] | None = None,
) -> JSON:
    """What the service of this type answers. Raises a `Fault` with its own status and words, a 404 without it."""
    service = next((each for each in cloud.services if each.type == type), None)
    if service is None:
        raise Fault(404, "The resource could not be found.")
    answer = await service.handle(forward(request, method, path, body, query))
    found = answer.body if isinstance(answer.body, dict) else {}
    if answer.status >= 400:
        raise Fault(answer.status, _message(found))
    return found


def _message(body: JSON) -> str:
    """The words of a service's error: they stand at the top, or one level below."""
    if isinstance(body.get("message"), str):
        return str(body["message"]).removesuffix("<br /><br />\n\n\n")
    inner: object = next(iter(body.values()), {})
    return str(inner.get("message", "")) if isinstance(inner, dict) else ""
