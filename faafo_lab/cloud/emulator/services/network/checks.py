"""The attributes of Neutron's resources, and the checks of their values, with the reasons that Neutron gives."""

from __future__ import annotations

import ipaddress
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from faafo_lab.cloud.emulator.common import schema
from faafo_lab.cloud.emulator.common.numbers import whole
from faafo_lab.cloud.emulator.common.service import JSON

REQUIRED: Any = object()  # the default of an attribute that a create must have
NAME_CHARACTERS = 255

Check = Callable[[Any], Any]


# Checks: each takes a JSON value and returns it as it is kept, or raises ValueError with Neutron's reason.


def text(most: int = NAME_CHARACTERS) -> Check:
    """A string of at most so many characters."""

    def check(value: Any) -> str:
        if not isinstance(value, str):
            raise ValueError(f"{schema.shown(value)} is not a valid string.")
        if len(value) > most:
            raise ValueError(f"{schema.shown(value)} exceeds maximum length of {most}.")
        return value

    return check


def boolean(value: Any) -> bool:
    """True or false, or words for them."""
    words = {"true": True, "1": True, "on": True, "yes": True, "false": False, "0": False, "off": False, "no": False}
    found = words.get(str(value).lower()) if isinstance(value, bool | str | int) else None
    if found is None:
        raise ValueError(f"{schema.shown(value)} cannot be converted to boolean.")
    return found


def integer(least: int | None = None, most: int | None = None) -> Check:
    """A whole number, or its text."""

    def check(value: Any) -> int:
        number = whole(value, signed=True) if isinstance(value, str) else value
        if isinstance(number, bool) or not isinstance(number, int):
            raise ValueError(f"{schema.shown(value)} is not an integer.")
        if least is not None and number < least:
            raise ValueError(f"'{number}' is too small - must be at least '{least}'.")
        if most is not None and number > most:
            raise ValueError(f"'{number}' is too large - must be no larger than '{most}'.")
        return number

    return check


def uuid(value: Any) -> str:
    """An id."""
    if not isinstance(value, str) or not schema.matches(schema.UUID, value):
        raise ValueError(f"{schema.shown(value)} is not a valid UUID.")
    return value


def address(value: Any) -> str:
    """An IP address."""
    try:
        if not isinstance(value, str):
            raise ValueError
        return str(ipaddress.ip_address(value))
    except ValueError:
        raise ValueError(f"{schema.shown(value)} is not a valid IP address.") from None


def cidr(value: Any) -> str:
    """A subnet, like 10.0.0.0/24."""
    try:
        if not isinstance(value, str):
            raise ValueError
        return str(ipaddress.ip_network(value, strict=False))
    except ValueError:
        raise ValueError(f"{schema.shown(value)} is not a valid IP subnet.") from None


def choice(*values: Any) -> Check:
    """One of a few values."""

    def check(value: Any) -> Any:
        if value not in values:
            raise ValueError(f"{schema.shown(value)} is not in {list(values)}.")
        return value

    return check


def each(check: Check) -> Check:
    """A list whose items all pass a check."""

    def check_all(value: Any) -> list[Any]:
        if not isinstance(value, list):
            raise ValueError(f"{schema.shown(value)} is not a list.")
        return [check(item) for item in value]

    return check_all


def several(check: Check, most: int) -> Check:
    """A list of at most so many different values."""

    def check_all(value: Any) -> list[Any]:
        found: list[Any] = each(check)(value or [])
        if any(one in found[:number] for number, one in enumerate(found)):
            raise ValueError(f"Duplicate items in the list: {schema.shown(value)}.")
        if len(found) > most:
            raise ValueError(f"At most {most} are allowed.")
        return found

    return check_all


def optional(check: Check) -> Check:
    """Null, or what passes a check."""
    return lambda value: None if value is None else check(value)


def mapping(value: Any) -> JSON:
    """A JSON object."""
    if not isinstance(value, dict):
        raise ValueError(f"{schema.shown(value)} is not a dictionary.")
    return value


def static_route(value: Any) -> JSON:
    """A static route: where to, and by which neighbour."""
    if set(mapping(value)) != {"destination", "nexthop"}:
        raise ValueError(f"{sorted(value)} do not match the valid keys: destination, nexthop.")
    return {"destination": cidr(value["destination"]), "nexthop": address(value["nexthop"])}


@dataclass(frozen=True)
class Attribute:
    """An attribute of a resource: its check, its value where a create does not name it, and when it may be set."""

    check: Check
    default: Any = REQUIRED
    post: bool = True
    put: bool = True
    operators: bool = False  # only those who run a cloud may switch it on: here nobody


NAMED = {"name": Attribute(text(), ""), "description": Attribute(text(), "")}
