"""Actions: requests whose body has one key, the action's name, as in Nova and Cinder.

    @action("reboot")
    def reboot(self, request, row, value): …      # {"reboot": {"type": "SOFT"}}

An action's handler gets the request, the resource's row and what the body has under the action's name; it returns a
body, an `Answer`, or nothing (202).
"""

from __future__ import annotations

import inspect
from collections.abc import Callable
from typing import Any, TypeVar

from faafo_lab.cloud.emulator.common.service import ALL_VERSIONS, JSON, Answer, Fault, Request, Versions

F = TypeVar("F", bound=Callable[..., Any])


def action(name: str, *, versions: Versions = ALL_VERSIONS) -> Callable[[F], F]:
    """Say which action a handler does. A handler may do several."""

    def mark(function: F) -> F:
        function.actions = {**getattr(function, "actions", {}), name: versions}  # type: ignore[attr-defined]
        return function

    return mark


def asked(request: Request) -> tuple[str, Any]:
    """An action's name, and what the body has under it. Raises a 400 `Fault`."""
    body = request.parse()
    if len(body) != 1:
        raise Fault(400, "There should be exactly one action in the request body.")
    return next(iter(body.items()))


class Handlers:
    """The handlers of actions that are methods of these objects."""

    def __init__(self, *parts: object) -> None:
        self._handlers = {
            name: (handler, there)
            for part in parts
            for _, handler in inspect.getmembers(part, inspect.ismethod)
            for name, there in getattr(handler, "actions", {}).items()
        }

    async def do(self, request: Request, row: Any, name: str, value: Any) -> Answer | JSON:
        """Have an action done. Raises a `Fault`: 400 where there is none of this name, 404 in another version."""
        if name not in self._handlers:
            raise Fault(400, f"There is no such action: {name[:120]}")
        handler, there = self._handlers[name]
        if request.version not in there:
            raise Fault(404, "The resource could not be found.")
        done: Answer | JSON | None = handler(request, row, value)
        if inspect.isawaitable(done):
            done = await done
        return done or Answer(202)
