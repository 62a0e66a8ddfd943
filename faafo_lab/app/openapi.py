"""The API's description of itself (OpenAPI 3.1), at ``/v1/openapi.json``.

Its bounds are the constants that ``validation`` tests requests against; the tests hold every route and every answer
against it. What JSON Schema cannot say (``xa`` less than ``xb``, a checksum that is that of the image) is in words.

https://spec.openapis.org/oas/v3.1.0
"""

from typing import Any

from faafo_lab.app import settings, validation
from faafo_lab.app.handler import RETRY_AFTER_SECONDS
from faafo_lab.app.store import ORDERS

Json = dict[str, Any]

ABOUT = """\
The API of the Fractals application, which the workbook scales out. A client asks for fractals, the queue hands them to
workers, a worker puts its result back. Errors are `{"error": "one sentence"}`; every answer says in `X-Served-By` which
API gave it. Where the deployment has a secret, results, heartbeats and deletions need it, as `Authorization: Bearer`;
where it has none, everybody may. While the database is away requests are answered 503, with `Retry-After`.\
"""


def described() -> Json:
    """The description, as JSON has it."""
    return {
        "openapi": "3.1.0",
        "info": {"title": "Fractals", "version": settings.version(), "description": ABOUT},
        "servers": [{"url": "..", "description": "where this description comes from"}],
        "paths": _paths(),
        "components": {
            "schemas": _schemas(),
            "responses": _failures(),
            "headers": _headers(),
            "securitySchemes": {
                "secret": {"type": "http", "scheme": "bearer", "description": "the deployment's secret"}
            },
        },
    }


# Schemas: of each value, of what clients send, of what they get


def _integer(least: int, most: int | None = None, **more: Any) -> Json:
    return {"type": "integer", "minimum": least, **({} if most is None else {"maximum": most}), **more}


def _number(least: float, most: float, **more: Any) -> Json:
    return {"type": "number", "minimum": least, "maximum": most, **more}


def _text(longest: int, **more: Any) -> Json:
    return {"type": "string", "minLength": 1, "maxLength": longest, "pattern": "^[^\\u0000]+$", **more}


def _object(properties: Json, optional: tuple[str, ...] = (), **more: Any) -> Json:
    required = [name for name in properties if name not in optional]
    return {"type": "object", "properties": properties, "required": required, "additionalProperties": False, **more}


def _or_null(schema: Json) -> Json:
    if "$ref" in schema:
        return {"oneOf": [schema, {"type": "null"}]}
    return schema | {"type": [schema["type"], "null"]}


def _list(items: Json, **more: Any) -> Json:
    return {"type": "array", "items": items, **more}


def _ref(name: str, kind: str = "schemas") -> Json:
    return {"$ref": f"#/components/{kind}/{name}"}


UUID: Json = {"type": "string", "format": "uuid"}
TIME: Json = {"type": "string", "format": "date-time"}
CHECKSUM: Json = {"type": "string", "pattern": "^[0-9a-f]{64}$", "description": "SHA-256 of the PNG, in hexadecimal"}
COORDINATE = _number(-validation.COORDINATE_MAX, validation.COORDINATE_MAX)
NAME = _text(validation.NAME_MAX_LENGTH)
NODE_NAME: Json = {
    "type": "string",
    "maxLength": validation.NAME_MAX_LENGTH,
    "pattern": f"^{validation.NAME_PATTERN}$",
    "description": "the name of its machine",
}
CONSTANT = _list(COORDINATE, minItems=2, maxItems=2, description="c of z² + c: its real and its imaginary part")
LOAD = {
    "load_average": _list(
        _number(0, validation.LOAD_AVERAGE_MAX), minItems=3, maxItems=3, description="over 1, 5 and 15 minutes"
    ),
    "cpu_percent": _or_null(_number(0, 100, description="of all cores together")),
    "cores": _integer(1, validation.CORES_MAX),
}


def _schemas() -> Json:
    size = _integer(1, validation.SIZE_MAX_PIXELS, description="pixels")
    task = {
        "uuid": UUID,
        "width": size,
        "height": size,
        "iterations": _integer(1, validation.ITERATIONS_MAX, description="at most so many steps for each pixel"),
        "xa": COORDINATE | {"description": "the box's left edge"},
        "xb": COORDINATE | {"description": "its right edge, greater than xa"},
        "ya": COORDINATE | {"description": "its upper edge"},
        "yb": COORDINATE | {"description": "its lower edge, greater than ya"},
    }
    outcome = {
        "duration": _number(0, validation.DURATION_MAX_SECONDS, description="seconds"),
        "size": _integer(0, validation.IMAGE_MAX_BYTES, description="the PNG's length in bytes"),
        "checksum": CHECKSUM,
        "generated_by": NAME | {"description": "the worker that made it"},
    }
    fractal = {
        **task,
        **{name: _or_null(schema) for name, schema in outcome.items()},
        "c": _or_null(CONSTANT),
        "attempts": _integer(0, description="how often a worker has taken it"),
        "leased_by": _or_null(NAME | {"description": "the worker that has it now"}),
        "created_at": TIME,
        "published_at": _or_null(TIME | {"description": "when it came into the queue"}),
        "completed_at": _or_null(TIME),
    }
    node = {
        "name": NODE_NAME,
        "role": {"enum": ["api", "worker"]},
        "state": {"enum": ["serving", *validation.WORKER_STATES, "lost"]},
        "drain": {"type": "boolean", "description": "whether it shall take no more tasks"},
        "working_on": _list(UUID, maxItems=validation.WORKING_ON_MAX),
        **LOAD,
        "version": _or_null(_text(validation.VERSION_MAX_LENGTH)),
        "started_at": TIME,
        "last_heard": TIME,
        "seconds_since_heard": {"type": "number", "minimum": 0},
    }
    node |= {"load_average": _or_null(LOAD["load_average"]), "cores": _or_null(LOAD["cores"])}
    beat = {"name": NODE_NAME, "run": UUID | {"description": "a new one each time the worker starts"}}
    beat |= {"state": {"enum": list(validation.WORKER_STATES)}}
    told = {name: node[name] for name in ("load_average", "cpu_percent", "cores", "version")}
    beat |= {"working_on": node["working_on"], **told}
    count = _integer(0)
    return {
        "Task": _object(task),
        "Fractal": _object(fractal),
        "Fractals": _page("Fractal"),
        "Result": _object(
            {
                "uuid": UUID,
                **outcome,
                "checksum": CHECKSUM | {"pattern": "^[0-9a-fA-F]{64}$"},
                "image": {
                    "type": "string",
                    "contentEncoding": "base64",
                    "contentMediaType": "image/png",
                    "minLength": 1,
                },
                "c": _or_null(CONSTANT),
            },
            optional=("uuid", "c"),
        ),
        "Node": _object(node),
        "Nodes": _page("Node"),
        "Heartbeat": _object(beat, optional=("working_on", *told)) | {"additionalProperties": True},
        "Leases": _object(
            {
                "drain": {"type": "boolean", "description": "whether the worker shall take no more tasks"},
                "leases": {
                    "type": "object",
                    "additionalProperties": {"enum": ["yours", "done", "taken", "gone"]},
                    "description": "what became of each uuid that the worker works on",
                },
            }
        ),
        "Drain": _object({"drain": {"type": "boolean"}}),
        "Load": _object({"hostname": NAME, **LOAD}),
        "Stats": _object(
            {
                "waiting": count,
                "working": count,
                "done": count,
                "queue_depth": _or_null(count | {"description": "messages in the queues; null: the broker is away"}),
            }
        ),
        "Health": _object(
            {
                "status": {"enum": ["ok", "down"]},
                "hostname": NAME,
                "database": {"type": "string", "description": "'ok', or what is wrong"},
                "broker": {"type": "string", "description": "'ok', or what is wrong"},
                "error": {"type": "string"},
            },
            optional=("error",),
        ),
        "Error": _object({"error": {"type": "string", "minLength": 1, "description": "one sentence"}}),
    }


def _page(name: str) -> Json:
    count = _integer(0)
    return _object({"num_results": count, "objects": _list(_ref(name)), "page": _integer(1), "total_pages": count})


# Answers


def _headers() -> Json:
    return {
        "X-Served-By": {"schema": NAME, "description": "the API that answers", "required": True},
        "Retry-After": {"schema": _integer(RETRY_AFTER_SECONDS), "description": "seconds", "required": True},
        "ETag": {"schema": {"type": "string"}, "description": "changes when the content does", "required": True},
        "Accept-Ranges": {"schema": {"const": "bytes"}, "required": True},
        "Content-Range": {"schema": {"type": "string"}, "description": "bytes FIRST-LAST/SIZE", "required": True},
    }


def _failures() -> Json:
    said = {
        "BadRequest": "the body, an argument or a header is wrong: names it and its bound",
        "Unauthorized": "the deployment's secret is missing",
        "Forbidden": "this is not the deployment's secret",
        "NotFound": "there is no such thing",
        "Conflict": "the uuid belongs to another fractal",
        "TooLarge": "the body is too long",
        "Away": "the database does not answer: ask again",
    }
    answers = {name: _answer(what, _ref("Error")) for name, what in said.items()}
    answers["Unauthorized"]["headers"]["WWW-Authenticate"] = {"schema": {"const": "Bearer"}, "required": True}
    answers["Away"]["headers"]["Retry-After"] = _ref("Retry-After", "headers")
    return answers


FAILURES = {
    "400": "BadRequest",
    "401": "Unauthorized",
    "403": "Forbidden",
    "404": "NotFound",
    "409": "Conflict",
    "413": "TooLarge",
    "503": "Away",
}


def _answer(what: str, schema: Json | None = None, content_type: str = "application/json", *headers: str) -> Json:
    names = ("X-Served-By", *headers)
    content = {} if schema is None else {"content": {content_type: {"schema": schema}}}
    return {"description": what, "headers": {name: _ref(name, "headers") for name in names}, **content}


# Operations


def _operation(
    name: str,
    what: str,
    good: Json,
    failures: tuple[int, ...] = (),
    body: Json | None = None,
    arguments: tuple[Json, ...] = (),
    secret: bool = False,
) -> Json:
    codes = {400, 503, *failures, *((401, 403) if secret else ()), *((413,) if body else ())}
    return {
        "operationId": name,
        "summary": what,
        "parameters": list(arguments),
        **({"requestBody": {"required": True, "content": body}} if body else {}),
        "responses": good | {str(code): _ref(FAILURES[str(code)], "responses") for code in sorted(codes)},
        **({"security": [{"secret": []}]} if secret else {}),
    }


def _argument(name: str, schema: Json, what: str, required: bool = False) -> Json:
    return {"name": name, "in": "query", "required": required, "description": what, "schema": schema}


def _in_address(name: str, schema: Json) -> Json:
    return {"name": name, "in": "path", "required": True, "schema": schema}


def _json(name: str) -> Json:
    return {"application/json": {"schema": _ref(name)}}


def _paths() -> Json:
    per_page = {"anyOf": [_integer(1, validation.RESULTS_PER_PAGE_MAX), {"const": -1}]}
    listing = (
        _argument("page", _integer(1, validation.PAGE_MAX, default=1), "from 1; one that is beyond the last is empty"),
        _argument("results_per_page", per_page | {"default": validation.RESULTS_PER_PAGE}, "-1: all of them"),
        _argument("order", {"enum": list(ORDERS), "default": ORDERS[0]}, "by creation"),
    )
    run = _argument("run", UUID, "as its heartbeats have it: a later run of the worker is left alone", required=True)
    to_fractal = {
        name: {"operationId": name, "parameters": {"uuid": "$response.body#/uuid"}}
        for name in ("showFractal", "putResult", "deleteFractal", "showImage")
    }
    created = _answer("accepted: it will be made, whatever fails", _ref("Fractal")) | {"links": to_fractal}
    created["headers"]["Location"] = {"schema": {"type": "string"}, "required": True}
    return {
        "/v1/fractal": {
            "get": _operation(
                "listFractals",
                "One page of the fractals.",
                {"200": _answer("a page", _ref("Fractals"))},
                (),
                None,
                listing,
            ),
            "post": _operation(
                "createFractal",
                "Ask for a fractal. The same one again is accepted again, so it is safe to repeat.",
                {"201": created},
                (409,),
                _json("Task"),
            ),
        },
        "/v1/fractal/{uuid}": {
            "parameters": [_in_address("uuid", UUID)],
            "get": _operation("showFractal", "One fractal.", {"200": _answer("it", _ref("Fractal"))}, (404,)),
            "put": _operation(
                "putResult",
                "A worker's result: all of it as JSON, or the PNG with the rest in the address. The first one wins, a "
                "second is acknowledged and dropped.",
                {"200": _answer("the fractal, done", _ref("Fractal"))},
                (404,),
                {**_json("Result"), "image/png": {}},
                _beside_png(),
                secret=True,
            ),
            "delete": _operation(
                "deleteFractal", "Delete a fractal and its image.", {"204": _answer("gone")}, (404,), secret=True
            ),
        },
        "/v1/node": {
            "get": _operation("listNodes", "Every API and worker.", {"200": _answer("all of them", _ref("Nodes"))}),
            "post": _operation(
                "beat",
                "A worker's heartbeat: it takes and renews the leases of what the worker works on.",
                {"200": _answer("what the worker shall do", _ref("Leases"))},
                (),
                _json("Heartbeat"),
                secret=True,
            ),
        },
        "/v1/node/{name}": {
            "parameters": [_in_address("name", NODE_NAME)],
            "put": _operation(
                "drain",
                "Ask a worker to take no more tasks, or to go on.",
                {"200": _answer("the worker", _ref("Node"))},
                (404,),
                _json("Drain"),
                secret=True,
            ),
            "delete": _operation(
                "leave",
                "A worker leaves: what it had goes back into the queue.",
                {"204": _answer("gone")},
                (404,),
                None,
                (run,),
                secret=True,
            ),
        },
        "/v1/load": {
            "get": _operation("showLoad", "The load of this API's machine.", {"200": _answer("it", _ref("Load"))})
        },
        "/v1/stats": {
            "get": _operation(
                "showStats", "How many fractals there are, by state.", {"200": _answer("it", _ref("Stats"))}
            )
        },
        "/v1/openapi.json": {
            "get": _operation(
                "describe",
                "This description.",
                {"200": _answer("it", {"type": "object"}, "application/json", "ETag"), "304": _answer("you have it")},
            )
        },
        "/health": {"get": _health()},
        "/metrics": {
            "get": _operation(
                "showMetrics", "What Prometheus reads.", {"200": _answer("it", {"type": "string"}, "text/plain")}
            )
        },
        "/fractal/{uuid}": {
            "parameters": [_in_address("uuid", UUID)],
            "get": _image("showImage", "The fractal's PNG, or a range of it; 404 until it is made."),
            "head": _image("headImage", "What GET says of the PNG."),
        },
    }


def _health() -> Json:
    down = _answer("database or broker is down", _ref("Health"), "application/json", "Retry-After")
    operation = _operation("checkHealth", "Whether database and broker answer.", {"200": _answer("ok", _ref("Health"))})
    operation["responses"]["503"] = down
    return operation


def _beside_png() -> tuple[Json, ...]:
    """What the address says of a result whose body is the PNG itself."""
    outcome = _schemas()["Result"]["properties"]
    c = {"type": "string", "description": "REAL,IMAGINARY"}
    return tuple(
        _argument(name, c if name == "c" else outcome[name], f"with image/png only{'' if name == 'c' else ': needed'}")
        for name in ("duration", "checksum", "size", "generated_by", "c")
    )


def _image(name: str, what: str) -> Json:
    headers = ("ETag", "Accept-Ranges")
    png = None if name.startswith("head") else {}
    asked = {
        "name": "Range",
        "in": "header",
        "schema": {"type": "string"},
        "description": "RFC 9110, one range of bytes",
    }
    good = {"200": _answer("the PNG", png, "image/png", *headers), "304": _answer("you have it", None, "", *headers)}
    operation = _operation(name, what, good, (404,), None, (asked,))
    if name == "showImage":
        operation["responses"]["206"] = _answer("the range", png, "image/png", *headers, "Content-Range")
        operation["responses"]["416"] = _answer(
            "there are no such bytes", _ref("Error"), "application/json", "Content-Range"
        )
    return operation
