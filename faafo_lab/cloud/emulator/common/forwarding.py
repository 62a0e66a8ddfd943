"""How one service asks another, as OpenStack's do: through its API, in the name and with the token of who asks."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Mapping
from dataclasses import replace

from faafo_lab.cloud.emulator.common.service import JSON, Fault, Request, Service


def forward(
    request: Request,
    method: str,
    path: str,
    body: JSON | None = None,
    query: Mapping[str, str] | None = None,
    chunks: AsyncIterator[bytes] | None = None,
) -> Request:
    """A request of the same client for another operation, with the same id."""
    content = b"" if body is None else json.dumps(body).encode()
    parameters = {name: [value] for name, value in (query or {}).items()}
    return replace(request, method=method, path=path, query=parameters, body=content, chunks=chunks)


async def ask(
    service: Service,
    request: Request,
    method: str,
    path: str,
    body: JSON | None = None,
    query: Mapping[str, str] | None = None,
    chunks: AsyncIterator[bytes] | None = None,
) -> JSON:
    """The JSON that `service` answers to a request made for `request`. Raises a `Fault` with its status and words."""
    answer = await service.handle(forward(request, method, path, body, query, chunks))
    said = answer.body if isinstance(answer.body, dict) else {}
    if answer.status >= 400:
        raise Fault(answer.status, _message(said))
    return said


def _message(body: JSON) -> str:
    """The message of a service's error: at the top level, or one level below."""
    if isinstance(body.get("message"), str):
        return str(body["message"]).replace("<br /><br />", "").strip()
    inner: object = next(iter(body.values()), {})
    return str(inner.get("message", "")) if isinstance(inner, dict) else ""
