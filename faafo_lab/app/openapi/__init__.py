"""The API's description of itself (OpenAPI 3.1), at ``/v1/openapi.json``.

Its bounds are the constants that ``validation`` tests requests against; the tests hold every route and every answer
against it. What JSON Schema cannot say (``xa`` less than ``xb``, a checksum that is that of the image) is in words.

operations: each route; schemas: the bodies. https://spec.openapis.org/oas/v3.1.0
"""

from typing import Any

from faafo_lab.app import settings
from faafo_lab.app.openapi.operations import failures, headers, paths
from faafo_lab.app.openapi.schemas import schemas

ABOUT = """\
The API of the Fractals application, which the workbook scales out. A client asks for fractals, the queue hands them to
workers, a worker puts its result back. Errors are `{"error": "one sentence"}`; every answer says in `X-Served-By` which
API gave it. Where the deployment has a secret, results, heartbeats and deletions need it, as `Authorization: Bearer`;
where it has none, everybody may. While the database is away requests are answered 503, with `Retry-After`.\
"""


def described() -> dict[str, Any]:
    """The description, as JSON has it."""
    return {
        "openapi": "3.1.0",
        "info": {"title": "Fractals", "version": settings.version(), "description": ABOUT},
        "servers": [{"url": "..", "description": "where this description comes from"}],
        "paths": paths(),
        "components": {
            "schemas": schemas(),
            "responses": failures(),
            "headers": headers(),
            "securitySchemes": {
                "secret": {"type": "http", "scheme": "bearer", "description": "the deployment's secret"}
            },
        },
    }
