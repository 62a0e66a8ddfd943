"""The verbs' arguments, checked against each parameter's annotation before any request to the cloud.

An error names the parameter whose value is of the wrong kind. A single item serves as a list of one, and the pair that
`get_or_create_…` returns serves as its resource.
"""

from __future__ import annotations

import collections.abc
import functools
import inspect
import numbers
import re
import reprlib
import types
from collections.abc import Callable, Mapping
from dataclasses import is_dataclass
from typing import Any, TypeVar, Union, get_args, get_origin, get_type_hints

from faafo_lab.cloud.errors import BadRequest
from faafo_lab.cloud.model import Made

F = TypeVar("F", bound=Callable[..., Any])
NUMBERS = {int: numbers.Integral, float: numbers.Real}
WORDS = {str: "text", int: "a whole number", float: "a number", bool: "True or False", bytes: "bytes"}


def checked(method: F) -> F:
    """Decorate a method: its arguments go through `settle` before it runs."""

    @functools.wraps(method)
    def wrapper(*args: Any, **kwargs: Any) -> Any:
        args, kwargs = settle(method, args, kwargs)
        return method(*args, **kwargs)

    return wrapper  # type: ignore[return-value]


def settle(method: Callable[..., Any], args: Any, kwargs: Any) -> tuple[tuple[Any, ...], dict[str, Any]]:
    """The arguments, converted to the method's annotations. Raises BadRequest, and TypeError as Python does."""
    signature, hints = _annotations(method)
    try:
        bound = signature.bind(*args, **kwargs)
    except TypeError as error:
        raise TypeError(f"{method.__name__}() {error}") from None
    for name, value in bound.arguments.items():
        hint = hints.get(name, Any)
        try:
            if signature.parameters[name].kind is inspect.Parameter.VAR_POSITIONAL:
                bound.arguments[name] = tuple(_settled(each, hint) for each in value)
            elif signature.parameters[name].kind is not inspect.Parameter.VAR_KEYWORD:
                bound.arguments[name] = _settled(value, hint)
        except TypeError:
            raise BadRequest(f"{method.__name__}: {name} must be {_words(hint)}, not {_shown(value)}.") from None
    return bound.args, bound.kwargs


@functools.cache
def _annotations(method: Callable[..., Any]) -> tuple[inspect.Signature, dict[str, Any]]:
    return inspect.signature(method), get_type_hints(method)


def _settled(value: Any, hint: Any) -> Any:
    """The value, converted to the annotation. Raises TypeError if it does not fit."""
    if isinstance(value, Made):
        value = value.resource
    kind, inner = get_origin(hint) or hint, get_args(hint)
    if kind in (Union, types.UnionType):
        for option in inner:
            try:
                return _settled(value, option)
            except TypeError:
                continue
        raise TypeError
    if kind is Any or (value is None and kind is types.NoneType):
        return value
    if kind is collections.abc.Mapping and isinstance(value, Mapping):
        return {_settled(key, inner[0]): _settled(each, inner[1]) for key, each in value.items()}
    if kind in (collections.abc.Iterable, collections.abc.Sequence, collections.abc.Collection):
        if kind is collections.abc.Sequence and isinstance(value, Mapping):
            raise TypeError
        try:
            return (_settled(value, inner[0]),)
        except TypeError:
            return tuple(_settled(each, inner[0]) for each in value)
    if kind is collections.abc.Callable and callable(value):
        return value
    if kind in NUMBERS:  # NumPy's numbers count, too; True does not
        kind = NUMBERS[kind] if not isinstance(value, bool) else types.NoneType
    if isinstance(kind, type) and isinstance(value, kind):
        return value
    raise TypeError


def _words(hint: Any) -> str:
    """The annotation in words, such as "a list of strings", for an error."""
    kind, inner = get_origin(hint) or hint, get_args(hint)
    if kind in (Union, types.UnionType):
        named = str in inner and any(map(is_dataclass, inner))
        words = ["its name or id" if named and option is str else _words(option) for option in inner]
        wanted = [each for option, each in zip(inner, words, strict=True) if option is not types.NoneType]
        lists = [each for each in wanted if "a list of those" in each]
        return lists[-1] if lists else ", ".join(wanted[:-1]) + (" or " if wanted[1:] else "") + wanted[-1]
    if kind is collections.abc.Mapping:
        return "a dict of strings"
    if kind is collections.abc.Callable:
        return "a function"
    if inner:
        return f"{_words(inner[0])}, or a list of those"
    return WORDS.get(kind) or _article(_kind(kind))


def _kind(kind: type) -> str:
    """A dataclass's name in words: "security group" of `SecurityGroup`."""
    return re.sub(r"(?<=[a-z])(?=[A-Z])", " ", kind.__name__).lower().replace(" ip", " IP")


def _article(noun: str) -> str:
    return f"an {noun}" if noun[0] in "aeiou" else f"a {noun}"


def _shown(value: Any) -> str:
    """A value that does not fit, in a short form for an error."""
    if is_dataclass(value) and hasattr(value, "name"):
        return f"the {_kind(type(value))} {value.name!r}"
    return reprlib.repr(dict(value) if isinstance(value, Mapping) else value)
