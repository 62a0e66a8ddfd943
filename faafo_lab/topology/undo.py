"""Undo: what a call has made is taken back, the newest first, where the call fails or is interrupted.

with Undo(print) as undo:
    group = cloud.create_security_group("api")
    undo.add("security group api", lambda: cloud.delete_security_group(group))
"""

from collections.abc import Callable
from types import TracebackType

from faafo_lab.topology.errors import first_line


class Undo:
    """Steps back. A line says what was undone; what can't be has a line of its own, and the others are undone all the
    same."""

    def __init__(self, say: Callable[[str], None]) -> None:
        self._say = say
        self._steps: list[tuple[str, Callable[[], object]]] = []

    def add(self, what: str, step: Callable[[], object]) -> None:
        """Take `what` back by this step, should the call fail."""
        self._steps.append((what, step))

    def __enter__(self) -> "Undo":
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if kind is None:
            return
        undone = []
        for what, step in reversed(self._steps):
            try:
                step()
                undone.append(what)
            except Exception as problem:  # whatever it is, the error that led here is the one to show
                self._say(f"{what}: not undone ({first_line(problem)})")
        if undone:
            self._say(f"undone, as it failed: {', '.join(undone)}")
