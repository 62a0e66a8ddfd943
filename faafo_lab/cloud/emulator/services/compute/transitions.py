"""More of a server's life: rebuild, resize, pause, suspend, and attaching ports.

    active ──pause──► paused ──unpause──► active        active ──suspend──► suspended ──resume──► active
    active/stopped ──resize──► resized ──confirm/revert──► active/stopped
    active/stopped/error ──rebuild──► active/stopped, with a new disk

Here a suspended server is what a paused one is: its processes are stopped, and keep their memory. They do not outlive
the emulator; such a server is shut off then, as after a power cut.
"""

from __future__ import annotations

from collections.abc import Coroutine
from typing import Any

from faafo_lab.cloud.emulator.common.service import Fault
from faafo_lab.cloud.emulator.common.store import Row
from faafo_lab.cloud.emulator.services.compute.lifecycle import STOP_GRACE_SECONDS, Lifecycle

REBUILDING = "rebuilding"
RESIZING = "resize_migrating"
REVERTING = "resize_reverting"
SNAPSHOT = "image_snapshot"


class Transitions(Lifecycle):
    """The tasks that go beyond starting and stopping. The caller has checked the server's state."""

    async def _build(self, id: str) -> None:
        """A group's servers that may not share a host cannot both be here: this cloud is one host."""
        group = self.site.store.table("server_group").get(self.servers[id].get("server_group_id"))
        if group is not None and group["policy"] == "anti-affinity":
            others = self.servers.where(server_group_id=group["id"])
            if any(row["id"] != id and row["launched_at"] for row in others):
                raise Fault(500, "No valid host was found. There are not enough hosts available.")
        await super()._build(id)

    # Rebuild

    def rebuild(self, id: str, **changes: Any) -> None:
        """Begin again with a new disk; `changes` are the row's: image, name, metadata, …"""
        self._set(id, task_state=REBUILDING, booted=False, fault=None, **changes)
        self._begin(id, self._rebuild(id))

    async def _rebuild(self, id: str) -> None:
        stays_off = self.servers[id]["vm_state"] == "stopped"
        await self._clear(id)
        if stays_off:
            self._set(id, task_state=None, power_state=4)
        else:
            await self._boot(id)

    # Resize

    def resize(self, id: str, flavor: str) -> None:
        """Shut it down and boot it with another flavor; the old one is kept until the resize is confirmed."""
        row = self.servers[id]
        self._set(id, task_state=RESIZING, new_flavor_id=flavor, old_vm_state=row["vm_state"])
        self._begin(id, self._resize(id))

    async def _resize(self, id: str) -> None:
        row = self.servers[id]
        if row["old_vm_state"] == "active":
            await self.hypervisor.shutdown(id, STOP_GRACE_SECONDS)
        changes = {"flavor_id": row["new_flavor_id"], "old_flavor_id": row["flavor_id"], "new_flavor_id": None}
        self._set(id, **changes, task_state="resize_finish", power_state=4)
        await self._finish_resize(id)

    async def _finish_resize(self, id: str) -> None:
        if self.servers[id]["old_vm_state"] == "active":
            await self._boot(id, vm_state="resized")
        else:
            self._set(id, vm_state="resized", task_state=None)

    def confirm(self, id: str) -> None:
        """Forget the old flavor."""
        row = self.servers[id]
        state = "active" if row["power_state"] == 1 else "stopped"
        self._set(id, vm_state=state, old_flavor_id=None, old_vm_state=None)

    def revert(self, id: str) -> None:
        """Go back to the old flavor."""
        self._set(id, task_state=REVERTING)
        self._begin(id, self._revert(id))

    async def _revert(self, id: str) -> None:
        await self.hypervisor.shutdown(id, STOP_GRACE_SECONDS)
        row = self.servers[id]
        state = row["old_vm_state"]
        self._set(id, flavor_id=row["old_flavor_id"] or row["flavor_id"], old_flavor_id=None, power_state=4)
        if state == "active":
            await self._boot(id, old_vm_state=None)
        else:
            self._set(id, vm_state=state, task_state=None, old_vm_state=None)

    # Pause and suspend

    def freeze(self, id: str, task_state: str, vm_state: str, power_state: int) -> None:
        """Stop all its processes where they are."""
        self._set(id, task_state=task_state)
        self._begin(id, self._freeze(id, vm_state, power_state))

    async def _freeze(self, id: str, vm_state: str, power_state: int) -> None:
        await self.hypervisor.freeze(id)
        self._set(id, vm_state=vm_state, task_state=None, power_state=power_state)

    def thaw(self, id: str, task_state: str) -> None:
        """Let its processes go on."""
        self._set(id, task_state=task_state)
        self._begin(id, self._thaw(id))

    async def _thaw(self, id: str) -> None:
        await self.hypervisor.thaw(id)
        self._set(id, vm_state="active", task_state=None, power_state=1)

    # Snapshots

    def begin(self, id: str, work: Coroutine[Any, Any, None]) -> None:
        """Do this after what is being done with the server."""
        self._begin(id, work)

    def forget_snapshot(self, id: str) -> None:
        """A snapshot has ended: an image without data goes, and the server may be told other things."""
        row = self.servers.get(id)
        if row is None or row.get("snapshot_id") is None:
            return
        with self.site.store.transaction():
            self.images.discard(row["snapshot_id"])
            task = None if row["task_state"] == SNAPSHOT else row["task_state"]
            self.servers.update(id, task_state=task, snapshot_id=None)

    def delete(self, id: str) -> None:
        """Kill it and remove all that it had, a snapshot that is being taken too."""
        super().delete(id)
        self.forget_snapshot(id)

    # The emulator's start

    def resume(self) -> None:
        """Take up what a killed emulator was doing."""
        for row in list(self.servers):
            self.forget_snapshot(row["id"])
            self._take_up(self.servers[row["id"]])
        super().resume()

    def _take_up(self, row: Row) -> None:
        id, state, task = row["id"], row["vm_state"], row["task_state"]
        if task == REBUILDING:
            self._begin(id, self._rebuild(id))
        elif task == RESIZING:
            self._set(id, power_state=0)
            self._begin(id, self._resize(id))
        elif task == "resize_finish":
            self._begin(id, self._finish_resize(id))
        elif task == REVERTING:
            self._begin(id, self._revert(id))
        elif state == "resized" and row["power_state"] == 1 and task != "deleting":
            self._set(id, task_state="powering-on", power_state=0)
            self._begin(id, self._boot(id, vm_state="resized"))
        elif state in ("paused", "suspended") and task != "deleting":
            self._set(id, vm_state="stopped", task_state=None, power_state=4)
