"""The part of JSON Schema that the services' request definitions use, with the messages that real services give.

    check({"name": ""}, {"type": "object", "properties": {"name": {"type": "string", "minLength": 1}}})
    # Invalid: ("name", "''", "'' is too short")

A hundred lines instead of the `jsonschema` package: it costs no memory and no time, and says the same words.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

Schema = Mapping[str, Any]

UUID = r"^[0-9a-fA-F]{8}-?[0-9a-fA-F]{4}-?[0-9a-fA-F]{4}-?[0-9a-fA-F]{4}-?[0-9a-fA-F]{12}$"
SHOWN_CHARACTERS = 120  # of a value that is wrong

_TYPES: dict[str, tuple[type, ...]] = {
    "object": (dict,),
    "array": (list,),
    "string": (str,),
    "integer": (int,),
    "number": (int, float),
    "boolean": (bool,),
    "null": (type(None),),
}


class Invalid(Exception):
    """The value at `path` (dotted, "" for the whole) does not fit: `value` is its text, `reason` says why."""

    def __init__(self, path: str, value: Any, reason: str) -> None:
        self.path = path
        self.value = shown(value)
        self.reason = reason
        super().__init__(reason)


def shown(value: Any) -> str:
    """The value as a message shows it: quoted as Python does, and cut where it is long."""
    text = repr(value)
    return text if len(text) <= SHOWN_CHARACTERS else text[:SHOWN_CHARACTERS] + "…"


def matches(pattern: str, value: str) -> bool:
    """Whether a pattern of JSON Schema fits: its `$` is the very end, and no line's."""
    return re.search(pattern.removesuffix("$") + r"\Z" if pattern.endswith("$") else pattern, value) is not None


def check(value: Any, schema: Schema, path: str = "") -> None:
    """Check a JSON value. Raises `Invalid` with the first mistake."""
    if "anyOf" in schema:
        for choice in schema["anyOf"]:
            try:
                return check(value, choice, path)
            except Invalid:
                continue
        raise Invalid(path, value, f"{shown(value)} is not valid under any of the given schemas")
    if "type" in schema:
        _check_type(value, schema, path)
    if "enum" in schema and value not in schema["enum"]:
        raise Invalid(path, value, f"{shown(value)} is not one of {list(schema['enum'])}")
    if isinstance(value, str):
        _check_string(value, schema, path)
    elif isinstance(value, int | float) and not isinstance(value, bool):
        if "minimum" in schema and value < schema["minimum"]:
            raise Invalid(path, value, f"{value} is less than the minimum of {schema['minimum']}")
        if "maximum" in schema and value > schema["maximum"]:
            raise Invalid(path, value, f"{value} is greater than the maximum of {schema['maximum']}")
    elif isinstance(value, dict):
        _check_object(value, schema, path)
    elif isinstance(value, list):
        _check_array(value, schema, path)
    return None


def _check_type(value: Any, schema: Schema, path: str) -> None:
    names = [schema["type"]] if isinstance(schema["type"], str) else schema["type"]
    for name in names:
        if isinstance(value, bool) and name in ("integer", "number"):
            continue
        if isinstance(value, _TYPES[name]):
            return
    raise Invalid(path, value, f"{shown(value)} is not of type " + ", ".join(repr(name) for name in names))


def _check_string(value: str, schema: Schema, path: str) -> None:
    if len(value) < schema.get("minLength", 0):
        raise Invalid(path, value, f"{shown(value)} is too short")
    if len(value) > schema.get("maxLength", len(value)):
        raise Invalid(path, value, f"{shown(value)} is too long")
    if "pattern" in schema and not matches(schema["pattern"], value):
        if "wanted" in schema:  # as Nova words it for names
            reason = f"An invalid 'name' value was provided. The name must be: {schema['wanted']}"
            raise Invalid("", value, reason)
        raise Invalid(path, value, f"{shown(value)} does not match {schema['pattern']!r}")
    if "format" in schema and not schema["format"][1](value):
        raise Invalid(path, value, f"{shown(value)} is not a '{schema['format'][0]}'")


def _check_object(value: dict[str, Any], schema: Schema, path: str) -> None:
    properties: Schema = schema.get("properties", {})
    for name in schema.get("required", ()):
        if name not in value:
            raise Invalid(path, value, f"'{name}' is a required property")
    others = schema.get("additionalProperties", True)
    for name, item in value.items():
        below = f"{path}.{name}" if path else name
        if name in properties:
            check(item, properties[name], below)
        elif isinstance(others, Mapping):
            check(item, others, below)
        elif not others:
            reason = f"Additional properties are not allowed ({name!r} was unexpected)"
            raise Invalid(path, value, reason)
    if "keys" in schema:
        for name in value:
            check(name, schema["keys"], path)
    if len(value) < schema.get("minProperties", 0):
        raise Invalid(path, value, f"{shown(value)} does not have enough properties")
    if len(value) > schema.get("maxProperties", len(value)):
        raise Invalid(path, value, f"{shown(value)} has too many properties")


def _check_array(value: list[Any], schema: Schema, path: str) -> None:
    if len(value) < schema.get("minItems", 0):
        raise Invalid(path, value, f"{shown(value)} is too short")
    if len(value) > schema.get("maxItems", len(value)):
        raise Invalid(path, value, f"{shown(value)} is too long")
    for number, item in enumerate(value):
        check(item, schema.get("items", {}), f"{path}.{number}" if path else str(number))
