"""Undo: a call that fails or is interrupted removes what it created, the newest first.

with Undo(print) as undo:
    group = cloud.create_security_group("api")
    undo.add("security group api", lambda: cloud.delete_security_group(group))
"""

from collections.abc import Callable
from types import TracebackType

from faafo_lab.topology.errors import first_line


class Undo:
    """Steps that undo what a call created. One line lists what was undone; each failed step has a line of its own, and
    the other steps run all the same."""

    def __init__(self, say: Callable[[str], None]) -> None:
        self._say = say
        self._steps: list[tuple[str, Callable[[], object]]] = []

    def add(self, what: str, step: Callable[[], object]) -> None:
        """Undo `what` by this step if the call fails."""
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
            except Exception as problem:  # the call's own error is the one to show
                self._say(f"{what}: not undone ({first_line(problem)})")
        if undone:
            self._say(f"undone after the failure: {', '.join(undone)}")
