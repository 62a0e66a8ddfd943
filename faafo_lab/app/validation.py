"""What a request may say. Everything here raises ``BadRequest`` with a sentence that names field and bound."""

import base64
import binascii
import hashlib
import json
import math
import re
from collections.abc import Iterable
from dataclasses import dataclass, field, fields
from enum import StrEnum
from typing import Any

from faafo_lab.app.errors import BadRequest, OutOfRange
from faafo_lab.app.julia import Task

SIZE_MAX_PIXELS = 10_000  # width, height
ITERATIONS_MAX = 10_000
COORDINATE_MAX = 1_000.0
NAME_MAX_LENGTH = 255
WORKING_ON_MAX = 64
RESULTS_PER_PAGE, RESULTS_PER_PAGE_MAX = 10, 1_000
PAGE_MAX = 1_000_000_000
EVENT_MAX = 2**53 - 1  # as far as every JSON reader counts
GENERATION_MAX = 2**63 - 1
DURATION_MAX_SECONDS = 1e9
LOAD_AVERAGE_MAX = 1e6
CORES_MAX = 65_536
VERSION_MAX_LENGTH = 64
REASON_MAX_LENGTH = 1_000
TASK_BODY_MAX_BYTES = 64 * 1024
IMAGE_MAX_BYTES = 128 * 1024 * 1024  # the largest picture, a byte for each pixel, and some more
RESULT_BODY_MAX_BYTES = 40 * 1024 * 1024  # of JSON with the picture in base64, which has to be held in memory

NAME_PATTERN = r"[A-Za-z0-9][A-Za-z0-9._-]*"
FAULTS = ("task", "worker")
WORKER_STATES = ("idle", "working", "draining", "drained")

_UUID = re.compile(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}")
_NAME = re.compile(NAME_PATTERN)
_UNFIT = re.compile("[\x00\ud800-\udfff]")  # no database keeps these as text
_SHA256 = re.compile(r"[0-9a-f]{64}")
_RANGE = re.compile(r"bytes=[ \t]*(?:([0-9]{1,18})-([0-9]{1,18})?|-([0-9]{1,18}))[ \t]*", re.IGNORECASE)
# Not \d, nor what int() and float() read: they take other scripts' digits for numbers, and 1_0, and blanks around it
_NUMERAL = re.compile(r"-?(0|[1-9][0-9]{0,400})(\.[0-9]{1,400})?([eE][+-]?[0-9]{1,4})?")  # JSON's
PNG_SIGNATURE = b"\x89PNG\r\n\x1a\n"


@dataclass(frozen=True)
class Result:
    """What a worker reports beside the PNG: how it came about, its SHA-256 in hexadecimal and its size in bytes.

    ``c`` and ``generation`` (see ``julia.Order``) are None from workers that do not say.
    """

    duration: float
    checksum: str
    size: int
    generated_by: str
    c: tuple[float, float] | None
    generation: int | None = None


@dataclass(frozen=True)
class Failure:
    """Why a run of a worker cannot make a fractal, and whose fault it is: the task's, or the worker's."""

    run: str
    fault: str
    reason: str
    generation: int | None = None


class Lease(StrEnum):
    """What became of a task that a worker wants to work on."""

    YOURS = "yours"  # go on
    DONE = "done"  # somebody else was faster
    TAKEN = "taken"  # another worker has it
    FAILED = "failed"  # too often
    REPLACED = "replaced"  # it was deleted, and its uuid ordered anew: that is another order
    GONE = "gone"  # it was deleted


@dataclass(frozen=True)
class Heartbeat:
    """What a worker says of itself; ``run`` is new each time it starts, ``generations`` are those of the uuids."""

    name: str
    run: str
    state: str
    working_on: tuple[str, ...]
    load_average: tuple[float, ...] | None
    cpu_percent: float | None
    cores: int | None
    version: str | None
    generations: dict[str, int] = field(default_factory=dict)


def json_object(body: bytes) -> dict[str, Any]:
    """The body as a JSON object."""
    try:
        value = json.loads(body)
    except (ValueError, RecursionError):
        raise BadRequest("The body is not JSON: send a JSON object.") from None
    if not isinstance(value, dict):
        raise BadRequest("The body must be a JSON object, with a name for each value.")
    return value


def task(body: dict[str, Any]) -> Task:
    """A fractal that is asked for."""
    _only(body, [one.name for one in fields(Task)])
    wanted = Task(
        uuid=uuid(body.get("uuid")),
        width=_whole(body, "width", 1, SIZE_MAX_PIXELS),
        height=_whole(body, "height", 1, SIZE_MAX_PIXELS),
        iterations=_whole(body, "iterations", 1, ITERATIONS_MAX),
        **{name: _number(body, name, -COORDINATE_MAX, COORDINATE_MAX) for name in ("xa", "xb", "ya", "yb")},
    )
    for low, high in (("xa", "xb"), ("ya", "yb")):
        if body[low] >= body[high]:
            raise BadRequest(f"'{low}' must be less than '{high}': got {body[low]} and {body[high]}.")
    return wanted


def result(body: dict[str, Any], of_uuid: str) -> tuple[Result, bytes]:
    """A worker's result in JSON for the fractal ``of_uuid``, and its PNG, whose checksum and size are verified."""
    _only(body, ["uuid", "duration", "image", "checksum", "size", "generated_by", "c", "generation"])
    if uuid(body.get("uuid", of_uuid)) != of_uuid:
        raise BadRequest(f"'uuid' must be that of the address, {of_uuid}: got {body['uuid']}.")
    try:
        image = base64.b64decode(_text(body, "image", RESULT_BODY_MAX_BYTES), validate=True)
    except (binascii.Error, ValueError):
        raise BadRequest("'image' must be a PNG in base64.") from None
    told = _result(body)
    check_picture(told, image[: len(PNG_SIGNATURE)], len(image), hashlib.sha256(image).hexdigest())
    return told, image


def result_beside_png(arguments: dict[str, str]) -> Result:
    """What a worker says of its result in the address, where the body is the PNG itself.

    The arguments are the fields of the JSON (without ``image``; ``c`` is "REAL,IMAGINARY").
    """
    body: dict[str, Any] = dict(arguments)
    _only(body, ["duration", "checksum", "size", "generated_by", "c", "generation"])
    for name in ("duration", "size", "generation"):
        if name in body:
            body[name] = _numeral(name, body[name])
    if "c" in body:
        body["c"] = [_numeral("c", part) for part in arguments["c"].split(",")]
    return _result(body)


def _result(body: dict[str, Any]) -> Result:
    checksum = _text(body, "checksum", 64).lower()
    if not _SHA256.fullmatch(checksum):
        raise BadRequest("'checksum' must be the SHA-256 of the image, in hexadecimal: it is not.")
    c = body.get("c")
    if c is not None:
        if not isinstance(c, list) or len(c) != 2:
            raise BadRequest("'c' must be a list of two numbers, its real and its imaginary part.")
        c = tuple(_number({"c": part}, "c", -COORDINATE_MAX, COORDINATE_MAX) for part in c)
    return Result(
        duration=_number(body, "duration", 0.0, DURATION_MAX_SECONDS),
        checksum=checksum,
        size=_whole(body, "size", 0, IMAGE_MAX_BYTES),
        generated_by=_text(body, "generated_by", NAME_MAX_LENGTH),
        c=c,
        generation=generation(body.get("generation")),
    )


def check_picture(told: Result, signature: bytes, size: int, checksum: str) -> None:
    """Raise unless a picture that has arrived is the PNG that its worker told of."""
    if signature != PNG_SIGNATURE:
        raise BadRequest("'image' must be a PNG: these bytes are no PNG.")
    if told.size != size:
        raise BadRequest(f"'size' must be the image's length, {size} bytes: got {told.size}.")
    if told.checksum != checksum:
        raise BadRequest("'checksum' must be the SHA-256 of the image, in hexadecimal: it is not. Send it again.")


def byte_range(text: str, size: int) -> tuple[int, int] | None:
    """The bytes ``[start, stop)`` that a Range header asks for; None where it is to be ignored (RFC 9110, 14.2).

    Several ranges at once are ignored, which means the whole. Raises ``OutOfRange`` where there are no such bytes.
    """
    found = _RANGE.fullmatch(text)
    if not found:
        return None
    first, last, suffix = (None if part is None else int(part) for part in found.groups())
    if first is None:
        start, stop = size - min(suffix or 0, size), size
    elif last is not None and last < first:
        return None
    else:
        start, stop = first, size if last is None else min(last + 1, size)
    if start >= stop:
        raise OutOfRange(size)
    return start, stop


def failure(body: dict[str, Any]) -> Failure:
    """Why a worker cannot make what it has."""
    _only(body, [one.name for one in fields(Failure)])
    if body.get("fault") not in FAULTS:
        raise BadRequest(f"'fault' must be one of {', '.join(FAULTS)}.")
    run, reason = uuid(body.get("run"), "run"), _text(body, "reason", REASON_MAX_LENGTH)
    return Failure(run, body["fault"], reason, generation(body.get("generation")))


def heartbeat(body: dict[str, Any]) -> Heartbeat:
    """A worker's heartbeat."""
    working_on = body.get("working_on", [])
    if not isinstance(working_on, list) or len(working_on) > WORKING_ON_MAX:
        raise BadRequest(f"'working_on' must be a list of at most {WORKING_ON_MAX} uuids.")
    told = body.get("generations", {})
    if not isinstance(told, dict):
        raise BadRequest("'generations' must be an object, with a generation for each uuid.")
    state = body.get("state")
    if state not in WORKER_STATES:
        raise BadRequest(f"'state' must be one of {', '.join(WORKER_STATES)}.")
    averages = body.get("load_average")
    if averages is not None:
        if not isinstance(averages, list) or len(averages) != 3:
            raise BadRequest("'load_average' must be a list of three numbers: over 1, 5 and 15 minutes.")
        averages = tuple(_number({"load_average": one}, "load_average", 0.0, LOAD_AVERAGE_MAX) for one in averages)
    percent, cores, version = body.get("cpu_percent"), body.get("cores"), body.get("version")
    return Heartbeat(
        name=node_name(body.get("name")),
        run=uuid(body.get("run"), "run"),
        state=state,
        working_on=tuple(uuid(one, "working_on") for one in working_on),
        load_average=averages,
        cpu_percent=None if percent is None else _number(body, "cpu_percent", 0.0, 100.0),
        cores=None if cores is None else _whole(body, "cores", 1, CORES_MAX),
        version=None if version is None else _text(body, "version", VERSION_MAX_LENGTH),
        generations={uuid(one, "generations"): _generation(number) for one, number in told.items()},
    )


def drain(body: dict[str, Any]) -> bool:
    """The wish of ``PUT /v1/node/NAME``."""
    _only(body, ["drain"])
    if not isinstance(body.get("drain"), bool):
        raise BadRequest("'drain' must be true or false.")
    return bool(body["drain"])


def arguments(given: Iterable[str], *known: str) -> None:
    """Raise unless all arguments of an address are known: a misspelt one would be ignored in silence."""
    if unknown := sorted(set(given) - set(known)):
        raise BadRequest(f"'{unknown[0][:40]}' is no argument of this: known are {', '.join(known)}.")


def page(text: str | None) -> int:
    """The argument ``page``, from 1."""
    return _argument("page", text, 1, 1, PAGE_MAX)


def results_per_page(text: str | None) -> int | None:
    """The argument ``results_per_page``; None is "all" (-1)."""
    if text == "-1":
        return None
    hint = ", or -1 for all"
    return _argument("results_per_page", text, RESULTS_PER_PAGE, 1, RESULTS_PER_PAGE_MAX, hint)


def after(text: str | None) -> int | None:
    """The argument ``after``, the number of an event, 0 before the first; None is "none so far" (-1)."""
    if text == "-1":
        return None
    return _argument("after", text, 0, 0, EVENT_MAX, ", or -1 for none so far")


def uuid(value: object, name: str = "uuid") -> str:
    """A uuid in its usual form, in lower case."""
    if not isinstance(value, str) or not _UUID.fullmatch(value.lower()):
        raise BadRequest(f"'{name}' must be a uuid such as 6b4e0b94-2bd2-4f8e-9d53-0a0a52c0a6b5.")
    return value.lower()


def generation(value: object) -> int | None:
    """The generation of the order that somebody means; None where it is not said."""
    return None if value is None else _generation(value)


def node_name(value: object) -> str:
    """A node's name: that of its machine."""
    if not isinstance(value, str) or len(value) > NAME_MAX_LENGTH or not _NAME.fullmatch(value):
        raise BadRequest(
            f"'name' must be a machine's name: letters, digits, '.', '_' and '-', at most {NAME_MAX_LENGTH}."
        )
    return value


def _generation(value: object) -> int:
    return _whole({"generation": value}, "generation", 1, GENERATION_MAX)


def _only(body: dict[str, Any], names: list[str]) -> None:
    if unknown := sorted(set(body) - set(names)):
        raise BadRequest(f"'{unknown[0][:40]}' is no field of this: known are {', '.join(names)}.")


def _whole(body: dict[str, Any], name: str, least: int, most: int) -> int:
    value = body.get(name)
    if isinstance(value, float) and value.is_integer():  # JSON has one kind of number: 3.0 is 3
        value = int(value)
    if type(value) is not int or not least <= value <= most:
        raise BadRequest(f"'{name}' must be a whole number from {least} to {most}.")
    return value


def _number(body: dict[str, Any], name: str, least: float, most: float) -> float:
    value = body.get(name)
    # NaN, which Python's JSON lets pass, is in no range
    if type(value) not in (int, float) or not least <= value <= most or not math.isfinite(value):  # type: ignore[operator, arg-type]
        raise BadRequest(f"'{name}' must be a number from {least:g} to {most:g}.")
    return float(value)  # type: ignore[arg-type]


def _text(body: dict[str, Any], name: str, longest: int) -> str:
    value = body.get(name)
    if not isinstance(value, str) or not value or len(value) > longest or _UNFIT.search(value):
        raise BadRequest(f"'{name}' must be text of 1 to {longest} characters.")
    return value


def _numeral(name: str, text: str) -> int | float:
    """A number that an address says."""
    if not _NUMERAL.fullmatch(text):
        raise BadRequest(f"'{name}' must be a number: got '{text[:40]}'.")
    number: int | float = json.loads(text)
    return number


def _argument(name: str, text: str | None, otherwise: int, least: int, most: int, hint: str = "") -> int:
    if text is None:
        return otherwise
    if re.fullmatch("[0-9]{1,16}", text) and least <= int(text) <= most:
        return int(text)
    raise BadRequest(f"'{name}' must be a whole number from {least} to {most}{hint}: got '{text[:40]}'.")
