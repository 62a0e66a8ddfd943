"""The operations of the description: what each address takes, and every answer that it gives."""

from faafo_lab.app import validation
from faafo_lab.app.handler import RETRY_AFTER_SECONDS
from faafo_lab.app.listing import ORDERS
from faafo_lab.app.openapi.schemas import CHECKSUM, MEANT, NAME, NODE_NAME, UUID, Json, integer, ref, schemas


def headers() -> Json:
    """The headers of answers, by name."""
    return {
        "X-Served-By": {"schema": NAME, "description": "the API that answers", "required": True},
        "Retry-After": {"schema": integer(RETRY_AFTER_SECONDS), "description": "seconds", "required": True},
        "ETag": {"schema": {"type": "string"}, "description": "changes when the content does", "required": True},
        "Accept-Ranges": {"schema": {"const": "bytes"}, "required": True},
        "Content-Range": {"schema": {"type": "string"}, "description": "bytes FIRST-LAST/SIZE", "required": True},
    }


def failures() -> Json:
    """The answers to what fails, by name."""
    said = {
        "BadRequest": "the body, an argument or a header is wrong: names it and its bound",
        "Unauthorized": "the deployment's secret is missing",
        "Forbidden": "this is not the deployment's secret",
        "NotFound": "there is no such thing",
        "Conflict": "the uuid belongs to another fractal",
        "TooLarge": "the body is too long",
        "Away": "database, broker or images' place does not answer: ask again",
    }
    answers = {name: _answer(what, ref("Error")) for name, what in said.items()}
    answers["Unauthorized"]["headers"]["WWW-Authenticate"] = {"schema": {"const": "Bearer"}, "required": True}
    answers["Away"]["headers"]["Retry-After"] = ref("Retry-After", "headers")
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


def _answer(what: str, schema: Json | None = None, content_type: str = "application/json", *more: str) -> Json:
    names = ("X-Served-By", *more)
    content = {} if schema is None else {"content": {content_type: {"schema": schema}}}
    return {"description": what, "headers": {name: ref(name, "headers") for name in names}, **content}


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
        "responses": good | {str(code): ref(FAILURES[str(code)], "responses") for code in sorted(codes)},
        **({"security": [{"secret": []}]} if secret else {}),
    }


def _argument(name: str, schema: Json, what: str, required: bool = False) -> Json:
    return {"name": name, "in": "query", "required": required, "description": what, "schema": schema}


def _in_address(name: str, schema: Json) -> Json:
    return {"name": name, "in": "path", "required": True, "schema": schema}


def _json(name: str) -> Json:
    return {"application/json": {"schema": ref(name)}}


def paths() -> Json:
    """What each address does."""
    per_page = {"anyOf": [integer(1, validation.RESULTS_PER_PAGE_MAX), {"const": -1}]}
    listing = (
        _argument("page", integer(1, validation.PAGE_MAX, default=1), "from 1; one that is beyond the last is empty"),
        _argument("results_per_page", per_page | {"default": validation.RESULTS_PER_PAGE}, "-1: all of them"),
        _argument("order", {"enum": list(ORDERS), "default": ORDERS[0]}, "by creation"),
    )
    after = {"anyOf": [integer(0, validation.EVENT_MAX), {"const": -1}], "default": 0}
    run = _argument("run", UUID, "as its heartbeats have it: a later run of the worker is left alone", required=True)
    to_fractal = {
        name: {"operationId": name, "parameters": {"uuid": "$response.body#/uuid"}}
        for name in ("showFractal", "putResult", "fail", "deleteFractal", "showImage", "headImage")
    }
    created = _answer("accepted: it will be made, whatever fails", ref("Fractal")) | {"links": to_fractal}
    created["headers"]["Location"] = {"schema": {"type": "string"}, "required": True}
    known = created | {"description": "accepted before: the same fractal, as it is now"}
    return {
        "/v1/fractal": {
            "get": _operation(
                "listFractals",
                "One page of the fractals.",
                {"200": _answer("a page", ref("Fractals"))},
                (),
                None,
                listing,
            ),
            "post": _operation(
                "createFractal",
                "Ask for a fractal. The same one again is accepted again, so it is safe to repeat; one that failed is "
                "tried anew.",
                {"200": known, "201": created},
                (409,),
                _json("Task"),
            ),
        },
        "/v1/fractal/{uuid}": {
            "parameters": [_in_address("uuid", UUID)],
            "get": _operation("showFractal", "One fractal.", {"200": _answer("it", ref("Fractal"))}, (404,)),
            "put": _operation(
                "putResult",
                "A worker's result: all of it as JSON, or the PNG with the rest in the address. The first one of an "
                "order wins; a second, or one of an earlier order of this uuid, is acknowledged and dropped.",
                {"200": _answer("the fractal, done", ref("Fractal"))},
                (404,),
                {**_json("Result"), "image/png": {}},
                _beside_png(),
                secret=True,
            ),
            "delete": _operation(
                "deleteFractal", "Delete a fractal and its image.", {"204": _answer("gone")}, (404,), secret=True
            ),
        },
        "/v1/fractal/{uuid}/failure": {
            "parameters": [_in_address("uuid", UUID)],
            "post": _operation(
                "fail",
                "A worker cannot make what it has: it is tried again, later, or, after too many failures, no more.",
                {"200": _answer("the fractal", ref("Fractal"))},
                (404,),
                _json("Failure"),
                secret=True,
            ),
        },
        "/v1/node": {
            "get": _operation("listNodes", "Every API and worker.", {"200": _answer("all of them", ref("Nodes"))}),
            "post": _operation(
                "beat",
                "A worker's heartbeat: it takes and renews the leases of what the worker works on.",
                {"200": _answer("what the worker has to do", ref("Leases"))},
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
                {"200": _answer("the worker", ref("Node"))},
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
            "get": _operation("showLoad", "The load of this API's machine.", {"200": _answer("it", ref("Load"))})
        },
        "/v1/event": {
            "get": _operation(
                "listEvents",
                "What happened to fractals after an event, the oldest first, as far as it is kept.",
                {"200": _answer("about a thousand at most", ref("Events"))},
                (),
                None,
                (_argument("after", after, "the `last` of the answer before; 0: all, -1: none so far"),),
            )
        },
        "/v1/stats": {
            "get": _operation(
                "showStats", "How many fractals there are, by state.", {"200": _answer("it", ref("Stats"))}
            )
        },
        "/v1/dead": {
            "get": _operation(
                "listDeadLetters",
                "Messages that no worker could process, with the reason.",
                {"200": _answer("all of them", ref("Letters"))},
                secret=True,
            ),
            "delete": _operation(
                "discardDeadLetters", "Throw them away.", {"200": _answer("how many", ref("Discarded"))}, secret=True
            ),
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
    down = _answer("database or broker is down", ref("Health"), "application/json", "Retry-After")
    operation = _operation("checkHealth", "Whether database and broker answer.", {"200": _answer("ok", ref("Health"))})
    operation["responses"]["503"] = down
    return operation


def _beside_png() -> tuple[Json, ...]:
    """What the address says of a result whose body is the PNG itself."""
    outcome = schemas()["Result"]["properties"]
    c = {"type": "string", "description": "REAL,IMAGINARY"}
    needed = [
        _argument(name, outcome[name], "with image/png only: needed")
        for name in ("duration", "checksum", "size", "generated_by")
    ]
    may = [_argument(name, schema, "with image/png only") for name, schema in (("c", c), ("generation", MEANT))]
    return (*needed, *may)


def _image(name: str, what: str) -> Json:
    names = ("ETag", "Accept-Ranges")
    png: Json | None = None if name.startswith("head") else {}
    asked = {
        "name": "Range",
        "in": "header",
        "schema": {"type": "string"},
        "description": "RFC 9110, one range of bytes",
    }
    checksum = _argument("checksum", CHECKSUM, "this very PNG, or 404: it may be kept for ever")
    good = {"200": _answer("the PNG", png, "image/png", *names), "304": _answer("you have it", None, "", *names)}
    operation = _operation(name, what, good, (404,), None, (asked, checksum))
    if name == "showImage":
        operation["responses"]["206"] = _answer("the range", png, "image/png", *names, "Content-Range")
        operation["responses"]["416"] = _answer(
            "there are no such bytes", ref("Error"), "application/json", "Content-Range"
        )
    return operation
