"""`@verb`, which every method of a `Cloud` that sends requests has."""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any, TypeVar

from faafo_lab.cloud import arguments, notes

F = TypeVar("F", bound=Callable[..., Any])


def verb(method: F) -> F:
    """Decorate a verb.

    Calls run one at a time (client libraries are not thread-safe); the tape and the receipt record them; the library's
    errors become the lab's; an interrupt names the interrupted call; who listens to notes is told of a change.
    """

    @functools.wraps(method)
    def wrapper(cloud: Any, *args: Any, **kwargs: Any) -> Any:
        (_, *args), kwargs = arguments.settle(declared(type(cloud), method.__name__), (cloud, *args), kwargs)  # type: ignore[assignment]
        with cloud._calling(method.__name__, cloud.library_errors, cloud._translate):
            result = method(cloud, *args, **kwargs)
        given = (*args, *kwargs.values())
        cloud._ledger.note(method.__name__, next(iter(given), None), result)
        notes.of_verb(cloud.name, method.__name__, given, result)
        return result

    return wrapper  # type: ignore[return-value]


def declared(cloud: type, name: str) -> Any:
    """The interface's own method of this name, with the annotations that a backend's method may lack."""
    return next(vars(base)[name] for base in reversed(cloud.__mro__) if name in vars(base))
