"""Freezes instances: stops all of their processes but the init, and keeps stopped what starts meanwhile.

The init stays awake, as with the governor: it has to end its tree when the hypervisor dies, which a stopped process
cannot. Parents are stopped before their children and continued after them, so that no shell sees a child stop.
"""

from __future__ import annotations

import signal

from faafo_lab.cloud.emulator.system import tree


class Freezer:
    """The instances that are frozen, and which of their processes were stopped for it."""

    def __init__(self) -> None:
        self._held: dict[str, tuple[int, dict[int, None]]] = {}

    def __bool__(self) -> bool:
        return bool(self._held)

    def __contains__(self, id: str) -> bool:
        return id in self._held

    def freeze(self, id: str, root: int) -> None:
        """Freeze the tree below `root`, an instance's init."""
        self._held.setdefault(id, (root, {}))
        self.sweep()

    def sweep(self) -> None:
        """Stop what has been started in a frozen instance since."""
        for root, held in self._held.values():
            while new := [pid for pid in tree.descendants(root) if pid not in held and tree.runs(pid)]:
                for pid in new:
                    held[pid] = None
                    tree.send(pid, signal.SIGSTOP)

    def thaw(self, id: str) -> None:
        """Let an instance's processes go on; those that somebody else had stopped stay so."""
        _, held = self._held.pop(id, (0, {}))
        for pid in reversed(held):
            tree.send(pid, signal.SIGCONT)

    def forget(self, id: str) -> None:
        self._held.pop(id, None)
