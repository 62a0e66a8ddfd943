"""The schemas of the description: of each value, of what clients send, of what they get."""

from typing import Any

from faafo_lab.app import events, settings, validation
from faafo_lab.app.schema import LOCATION_LENGTH

Json = dict[str, Any]


def integer(least: int, most: int | None = None, **more: Any) -> Json:
    """A whole number within these bounds."""
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


def ref(name: str, kind: str = "schemas") -> Json:
    """Refers to a component of the description."""
    return {"$ref": f"#/components/{kind}/{name}"}


UUID: Json = {"type": "string", "format": "uuid"}
TIME: Json = {"type": "string", "format": "date-time"}
GENERATION = integer(
    1,
    validation.GENERATION_MAX,
    description="which order it is: a uuid that is deleted and ordered anew has a higher one",
)
MEANT = GENERATION | {"description": "of the order that is meant; what is of an earlier one is dropped"}
CHECKSUM: Json = {"type": "string", "pattern": "^[0-9a-f]{64}$", "description": "SHA-256 of the PNG, in hexadecimal"}
COORDINATE = _number(-validation.COORDINATE_MAX, validation.COORDINATE_MAX)
NAME = _text(validation.NAME_MAX_LENGTH)
REASON = _text(validation.REASON_MAX_LENGTH)
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
    "cores": integer(1, validation.CORES_MAX),
}


def schemas() -> Json:
    """What clients send and get, by name."""
    size = integer(1, validation.SIZE_MAX_PIXELS, description="pixels")
    task = {
        "uuid": UUID,
        "width": size,
        "height": size,
        "iterations": integer(1, validation.ITERATIONS_MAX, description="at most so many steps for each pixel"),
        "xa": COORDINATE | {"description": "the box's left edge"},
        "xb": COORDINATE | {"description": "its right edge, greater than xa"},
        "ya": COORDINATE | {"description": "its upper edge"},
        "yb": COORDINATE | {"description": "its lower edge, greater than ya"},
    }
    outcome = {
        "duration": _number(0, validation.DURATION_MAX_SECONDS, description="seconds"),
        "size": integer(0, validation.IMAGE_MAX_BYTES, description="the PNG's length in bytes"),
        "checksum": CHECKSUM,
        "generated_by": NAME | {"description": "the worker that made it"},
    }
    fractal = {
        **task,
        "generation": GENERATION,
        **{name: _or_null(schema) for name, schema in outcome.items()},
        "c": _or_null(CONSTANT),
        "attempts": integer(0, description="how often a worker has taken it"),
        "failures": integer(0, description="how often it could not be made, by its own fault"),
        "failure": _or_null(REASON | {"description": "why it could not be made the last time; null once it is"}),
        "leased_by": _or_null(NAME | {"description": "the worker that has it now"}),
        "lost": _list(
            _object({"worker": NAME, "started_at": TIME, "lost_at": TIME}),
            description="the attempts that were lost, the oldest first: their workers fell silent or were stopped",
        ),
        "image_at": _or_null(
            _text(LOCATION_LENGTH, description="where its PNG is, such as database, file://HOST, swift://CONTAINER")
        ),
        "created_at": TIME,
        "published_at": _or_null(TIME | {"description": "when it came into the queue"}),
        "started_at": _or_null(
            TIME | {"description": "when the worker that made it, or is at it, took it; null where it had no lease"}
        ),
        "completed_at": _or_null(TIME),
        "failed_at": _or_null(TIME | {"description": "since when it is tried no more, until it is asked for again"}),
    }
    node = {
        "name": NODE_NAME,
        "role": {"enum": ["api", "worker"]},
        "state": {"enum": ["serving", *validation.WORKER_STATES, "lost"]},
        "drain": {"type": "boolean", "description": "whether it is asked to take no more tasks"},
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
    beat["generations"] = {
        "type": "object",
        "propertyNames": UUID,
        "additionalProperties": MEANT,
        "description": 'by uuid: which orders are meant; the lease of an earlier one is "replaced"',
    }
    count = integer(0)
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
                "generation": _or_null(MEANT),
            },
            optional=("uuid", "c", "generation"),
        ),
        "Failure": _object(
            {
                "run": UUID | {"description": "the worker's, as its heartbeats have it"},
                "fault": {"enum": list(validation.FAULTS), "description": "the worker's own does not count"},
                "reason": REASON,
                "generation": _or_null(MEANT),
            },
            optional=("generation",),
        ),
        "Node": _object(node),
        "Nodes": _page("Node"),
        "Heartbeat": _object(beat, optional=("working_on", "generations", *told)) | {"additionalProperties": True},
        "Leases": _object(
            {
                "drain": {"type": "boolean", "description": "whether the worker has to stop taking tasks"},
                "leases": {
                    "type": "object",
                    "additionalProperties": {"enum": list(validation.Lease)},
                    "description": "what became of each uuid that the worker works on",
                },
                "endpoints": _list(
                    {"type": "string"}, description="where workers reach the APIs that serve; none: they do not say it"
                ),
            }
        ),
        "Drain": _object({"drain": {"type": "boolean"}}),
        "Load": _object({"hostname": NAME, **LOAD}),
        "Stats": _object(
            {
                "waiting": count,
                "working": count,
                "done": count,
                "failed": count,
                "oldest_waiting_seconds": {
                    "type": "number",
                    "minimum": 0,
                    "description": "the age of the oldest fractal that no worker has; 0 where none waits",
                },
                "waiting_max": integer(1, settings.WAITING_LIMIT, description="more than these are not accepted"),
                "queue_depth": _or_null(count | {"description": "messages for workers; null: the broker is away"}),
                "dead": _or_null(count | {"description": "dead letters; null: the broker is away"}),
            }
        ),
        "Event": _object(
            {
                "id": integer(1, description="of the change; several fractals may share it"),
                "at": TIME,
                "what": {"enum": list(events.WHATS)},
                "worker": _or_null(NAME),
                "uuid": UUID,
                "generation": GENERATION,
            }
        ),
        "Events": _object(
            {
                "objects": _list(ref("Event")),
                "last": integer(0, description="go on with after=LAST"),
                "more": {"type": "boolean", "description": "whether there are more already"},
                "forgotten": {"type": "boolean", "description": "whether some after `after` are no longer kept"},
                "now": TIME | {"description": "by the clock of all these times, the database's"},
            }
        ),
        "Letter": _object(
            {
                "reason": {"type": "string", "description": "why no worker could process it"},
                "message": {"type": "string", "description": "its beginning"},
                "queue": {"type": "string"},
                "content_type": {"type": "string"},
                "worker": {"type": "string"},
                "at": {"type": "string"},
            },
            optional=("queue", "content_type", "worker", "at"),
        )
        | {"additionalProperties": True},
        "Letters": _page("Letter"),
        "Discarded": _object({"discarded": count}),
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
    count = integer(0)
    return _object({"num_results": count, "objects": _list(ref(name)), "page": integer(1), "total_pages": count})
