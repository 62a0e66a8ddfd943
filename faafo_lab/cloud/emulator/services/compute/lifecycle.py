"""What becomes of a server: the steps of each action, taken beside the APIs. `states` has the actions' table."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
from collections.abc import Awaitable, Callable
from functools import partial
from pathlib import Path
from typing import Any

from faafo_lab.cloud.emulator.common.service import JSON, Fault, Request, now
from faafo_lab.cloud.emulator.common.store import Row, Table
from faafo_lab.cloud.emulator.machinery.hypervisor.client import Hypervisor, HypervisorError
from faafo_lab.cloud.emulator.services.block_storage import files
from faafo_lab.cloud.emulator.services.block_storage.api import Volume
from faafo_lab.cloud.emulator.services.block_storage.rows import VolumeRow
from faafo_lab.cloud.emulator.services.compute import states
from faafo_lab.cloud.emulator.services.compute.guests import Guests
from faafo_lab.cloud.emulator.services.compute.history import History
from faafo_lab.cloud.emulator.services.compute.rows import GroupRow, ServerRow
from faafo_lab.cloud.emulator.services.compute.states import NO_STATE, RUNNING, SHUT_DOWN, Action
from faafo_lab.cloud.emulator.services.compute.tasks import Tasks, Work
from faafo_lab.cloud.emulator.services.image.api import Image
from faafo_lab.cloud.emulator.services.network.api import Network
from faafo_lab.cloud.emulator.site import Site

log = logging.getLogger(__name__)

BOOTS_AT_ONCE = 8
LOOK_SECONDS = 0.05  # between two looks whether a volume is filled
STOP_GRACE_SECONDS = 10.0  # a service's time to end by itself at a stop or a soft reboot
CLOSE_GRACE_SECONDS = 3.0  # the same, when the whole cloud stops
Changes = dict[str, Any]  # of a server's row
IS_OFF: Changes = {"vm_state": states.OFF.vm_state, "power_state": states.OFF.power}


class Lifecycle:
    """All servers' lives."""

    def __init__(self, site: Site, network: Network, images: Image, volumes: Volume, hypervisor: Hypervisor) -> None:
        self.servers: Table[ServerRow] = site.store.table("server")
        self.history = History(site.store)
        self.tasks = Tasks(self.history, self._fail)
        self.guests = Guests(site, network, images, volumes.mounts, hypervisor)
        self._site, self._network, self._images, self._volumes = site, network, images, volumes
        self.hypervisor = hypervisor
        self._boots = asyncio.Semaphore(BOOTS_AT_ONCE)
        self._steps: dict[Action, Callable[[str], Awaitable[Changes | None]]] = {
            states.CREATE: self._build,
            states.DELETE: self._delete,
            states.BOOT: self._again,
            states.START: self._boot,
            states.STOP: self._shutdown,
            states.REBOOT: partial(self._reboot, self._shutdown),
            states.HARD_REBOOT: partial(self._reboot, hypervisor.kill),
            states.PAUSE: hypervisor.freeze,
            states.UNPAUSE: hypervisor.thaw,
            states.SUSPEND: hypervisor.freeze,
            states.RESUME: hypervisor.thaw,
            states.REBUILD: self._rebuild,
            states.RESIZE: self._resize,
            states.FINISH_RESIZE: self._finish_resize,
            states.REVERT: self._revert,
            states.RESCUE: self._rescue,
            states.UNRESCUE: self._unrescue,
            states.SHELVE: self._shelve,
            states.OFFLOAD: self._clear,
            states.UNSHELVE: self._unshelve,
        }

    # What a client asks for

    def do(self, request: Request, row: ServerRow, action: Action) -> None:
        """Check that an action may be done with a server now, and begin it. Raises a 409 `Fault`."""
        action.check(row)
        self.begin(request, row["id"], action)

    def begin(self, request: Request, id: str, action: Action, work: Work | None = None, **changes: Any) -> None:
        """Note that a client has asked for an action that is allowed, change the row, and begin the `work` or steps."""
        self.history.begin(request, id, action)
        self._set(id, task_state=action.task, **changes)
        self.tasks.begin(id, work or self.take(id, action))

    def build(self, id: str) -> None:
        """Build a new server."""
        self.tasks.begin(id, self.take(id, states.CREATE))

    def confirm(self, request: Request, row: ServerRow) -> None:
        """Forget the old flavor of a server that was resized. Raises a 409 `Fault`."""
        states.CONFIRM.check(row)
        self.history.done(request, row["id"], states.CONFIRM)
        state = "active" if row["power_state"] == RUNNING else "stopped"
        self._set(row["id"], vm_state=state, old_flavor_id=None, old_vm_state=None)

    def delete(self, id: str) -> None:
        """Kill it and remove all that it had, whatever is being done with it; a snapshot that is being taken, too."""
        if self.servers[id]["task_state"] != states.DELETE.task:
            self._set(id, task_state=states.DELETE.task)
            self.tasks.begin(id, self.take(id, states.DELETE), now=True)
        self.forget_snapshot(id)

    def forget_snapshot(self, id: str) -> None:
        """A snapshot has ended: an image without data goes, and the server may be told other things."""
        row = self.servers.get(id)
        if row is None or (image := row.get("snapshot_id")) is None:
            return
        with self._site.store.transaction():
            self._images.discard(image)
            off = IS_OFF if row["task_state"] == states.SHELVE.task else {}
            task = None if row["task_state"] in states.PICTURES else row["task_state"]
            self.servers.update(id, **off, task_state=task, snapshot_id=None)

    # A server's ports

    def connect(self, row: ServerRow, wanted: JSON) -> Row:
        """Give the server a port: one that it brings, or a new one. Raises a `Fault`."""
        network = self._network
        owned = {"device_id": row["id"], "device_owner": "compute:nova", "status": "ACTIVE", "device_tag": None}
        owned |= {"device_tag": wanted["tag"]} if "tag" in wanted else {}
        if port := network.ports.table.get(wanted.get("port")):
            return network.ports.touch(port["id"], **owned)
        if "port" in wanted:
            raise Fault(400, f"Port id {wanted['port']} could not be found.")
        fixed = [{"ip_address": wanted["fixed_ip"]}] if wanted.get("fixed_ip") else None
        values = {name: each.default for name, each in network.ports.attributes.items()}
        values |= {"network_id": wanted["uuid"], "fixed_ips": fixed, "security_groups": row["groups"]}
        return network.ports.plug(row["project_id"], values, owned)

    def disconnect(self, row: ServerRow, port: Row) -> None:
        """Take a port off the server: one that its owner made stays."""
        ports = self._network.ports
        if any(wanted.get("port") == port["id"] for wanted in row["networks"]):
            ports.touch(port["id"], device_id="", device_owner="", device_tag=None, status="DOWN")
        else:
            ports.remove(port["id"])

    # The steps

    def _set(self, id: str, **changes: Any) -> None:
        self.servers.update(id, **changes, updated=now())

    async def take(self, id: str, action: Action) -> None:
        """Take an action's steps; then the server is what the table says, but for what they say."""
        changes = await self._steps[action](id) or {}
        if id in self.servers:
            up = {"vm_state": action.vm_state, "task_state": None, "power_state": action.power}
            self._set(id, **{**up, **changes})

    def _fail(self, id: str, message: str) -> None:
        log.warning("server %s: %s", id, message)
        if id in self.servers:
            fault = {"code": 500, "created": now(), "message": message}
            hostless = self.servers[id]["task_state"] == states.CREATE.task
            self._set(id, vm_state="error", task_state=None, power_state=NO_STATE, fault=fault, hostless=hostless)

    async def _build(self, id: str) -> Changes:
        row = self.servers[id]
        async with self._boots:
            self._find_host(row)
            self._set(id, task_state="networking")
            with self._site.store.transaction():
                for wanted in () if self._network.ports_of(id) else row["networks"]:  # it has all of them, or none
                    if "uuid" in wanted and self._network.networks.table[wanted["uuid"]]["router:external"]:
                        why = "Failed to allocate the network(s), not rescheduling."  # Nova's words: Neutron refuses
                        raise Fault(500, f"Build of instance {id} aborted: {why}")
                    self.connect(row, wanted)
            self._set(id, task_state="block_device_mapping")
            await self._attach(row)
            self._set(id, task_state="spawning")
            await self._clear(id)
            return await self._boot(id)

    def _find_host(self, row: ServerRow) -> None:
        """There is one host: of a group that wants different ones it takes one server, or what a rule says."""
        groups: Table[GroupRow] = self._site.store.table("server_group")
        group = groups.get(row.get("server_group_id"))
        if group is None or group["policy"] != "anti-affinity":
            return
        on_host = ("networking", "block_device_mapping", "spawning")
        others = [each for each in self.servers.where(server_group_id=group["id"]) if each["id"] != row["id"]]
        there = [each for each in others if each["launched_at"] or each["task_state"] in on_host]
        if len(there) >= group.get("rules", {}).get("max_server_per_host", 1):
            raise Fault(500, "No valid host was found. There are not enough hosts available.")

    async def _attach(self, row: ServerRow) -> None:
        """Attach the volumes that it boots with, as soon as they are filled. Raises a `Fault`."""
        for each in row.get("volumes", []):
            volume = await self._filled(each["id"])
            if volume and volume["attachment"] and volume["attachment"]["server_id"] == row["id"]:
                continue  # a build that was cut short had it
            if not volume or volume["status"] != "available":
                why = f"Volume {each['id']} is {volume['status'] if volume else 'gone'}."
                raise Fault(500, f"Build of instance {row['id']} aborted: {why}")
            self._volumes.mounts.attach(each["id"], row["id"], tag=each["tag"], root=each["root"])

    async def _filled(self, id: str) -> VolumeRow | None:
        """A volume, as soon as it has its content."""
        table: Table[VolumeRow] = self._site.store.table("volume")
        while (volume := table.get(id)) and volume["status"] in ("creating", "downloading"):
            await asyncio.sleep(LOOK_SECONDS)
        return volume

    async def _clear(self, id: str) -> None:
        """Remove the disk, or what a build that was cut short left of it."""
        directory = self.guests.directory(id)
        if directory.exists():
            await self.hypervisor.kill(id)
            await asyncio.to_thread(files.clear, directory)

    async def _boot(self, id: str) -> Changes:
        """Boot the server, new or not."""
        guest = self.guests.guest(self.servers[id])
        Path(guest.directory).mkdir(mode=0o700, parents=True, exist_ok=True)
        saved = os.path.lexists(self.guests.saved(id))  # then another disk is in its place
        for each in self.servers[id].get("volumes", []):
            if each["root"] and not saved:
                with contextlib.suppress(FileExistsError):
                    Path(guest.directory, "disk").symlink_to(f"../../volumes/{each['id']}")
        self._volumes.mounts.plug(id)
        await self.hypervisor.boot(guest)
        launched = self.servers[id]["launched_at"] or now()[:-1] + ".000000"
        return {"booted": True, "fault": None, "launched_at": launched}

    async def _again(self, id: str) -> Changes:
        async with self._boots:
            return await self._boot(id)

    async def _shutdown(self, id: str) -> None:
        """Its services get time to end."""
        await self.hypervisor.shutdown(id, STOP_GRACE_SECONDS)

    async def _reboot(self, end: Callable[[str], Awaitable[None]], id: str) -> Changes:
        await end(id)
        return await self._boot(id)

    async def _rebuild(self, id: str) -> Changes:
        """Begin again with a new disk; what was off stays off."""
        row = self.servers[id]
        off = row["vm_state"] == "stopped"
        await self._clear(id)
        for each in row.get("volumes", []):
            volume = await self._filled(each["id"]) if each["root"] else None
            if volume and volume["status"] != "in-use":
                raise Fault(500, f"Rebuild of instance {id} aborted: volume {each['id']} is {volume['status']}.")
        return IS_OFF if off else await self._boot(id)

    async def _resize(self, id: str) -> Changes:
        """Shut it down and boot it with another flavor; the old one is kept until the resize is confirmed."""
        row = self.servers[id]
        if row.get("old_vm_state") == "active":
            await self._shutdown(id)
        flavors = {"flavor_id": row.get("new_flavor_id"), "old_flavor_id": row["flavor_id"], "new_flavor_id": None}
        self._set(id, **flavors, task_state=states.FINISH_RESIZE.task, power_state=SHUT_DOWN)
        return await self._finish_resize(id)

    async def _finish_resize(self, id: str) -> Changes:
        was_active = self.servers[id].get("old_vm_state") == "active"
        return await self._boot(id) if was_active else {"power_state": SHUT_DOWN}

    async def _revert(self, id: str) -> Changes:
        """Go back to the old flavor."""
        await self._shutdown(id)
        row = self.servers[id]
        flavor = row.get("old_flavor_id") or row["flavor_id"]
        self._set(id, flavor_id=flavor, old_flavor_id=None, power_state=SHUT_DOWN)
        was_active = row.get("old_vm_state") == "active"
        return {**(await self._boot(id) if was_active else IS_OFF), "old_vm_state": None}

    async def _rescue(self, id: str) -> Changes:
        """Boot it from another image, with its own disk among its volumes."""
        await self._shutdown(id)
        saved = self.guests.saved(id)
        if not os.path.lexists(saved):
            (self.guests.directory(id) / "disk").rename(saved)
        try:
            changes = await self._boot(id)
        except HypervisorError:
            await self._restore_disk(id)
            raise
        self.hypervisor.console(id, "rescue: the server's own disk is $INSTANCE_VOLUMES/rescued")
        return changes

    async def _unrescue(self, id: str) -> Changes:
        """Boot it from its own disk again."""
        await self._shutdown(id)
        await self._restore_disk(id)
        return await self._boot(id)

    async def _restore_disk(self, id: str) -> None:
        """Put its own disk in place of the one that it is rescued with, which goes."""
        disk, saved = self.guests.directory(id) / "disk", self.guests.saved(id)
        if os.path.lexists(saved):
            await asyncio.to_thread(files.clear, disk)
            saved.rename(disk)
        self._set(id, rescue_image_id=None)

    async def halt(self, row: ServerRow) -> None:
        """Shut it down before its disk becomes the image of a shelved server."""
        if row["vm_state"] in ("paused", "suspended"):
            await self.hypervisor.thaw(row["id"])
        await self._shutdown(row["id"])
        self._set(row["id"], power_state=SHUT_DOWN)

    async def _shelve(self, id: str) -> None:
        """Remove what it has on its host; an image has its disk by then, unless that is a volume."""
        row = self.servers[id]
        await self.halt(row)
        image = row.get("snapshot_id")
        self._set(id, vm_state="shelved", task_state=states.OFFLOAD.task, shelved_image_id=image)
        await self._clear(id)

    async def _unshelve(self, id: str) -> Changes:
        """Boot it from the image that has its disk, which goes then."""
        changes = await self._again(id)
        self._images.drop(self.servers[id].get("shelved_image_id"))
        return {**changes, "shelved_image_id": None}

    async def _delete(self, id: str) -> None:
        await self.hypervisor.kill(id)
        await asyncio.to_thread(files.remove, self.guests.directory(id))
        row = self.servers[id]
        self._images.drop(row.get("shelved_image_id"))
        self._volumes.mounts.release(id)
        for each in row.get("volumes", []):
            if each["delete"]:
                self._volumes.discard(each["id"])
        with self._site.store.transaction():
            for port in self._network.ports_of(id):
                self.disconnect(row, port)
            self.servers.delete(id)
            self.history.bury(row)

    def exited(self, id: str) -> None:
        """The hypervisor says that the server's init ended by itself."""
        row = self.servers.get(id)
        if row is not None and row["task_state"] is None and self._site.running:
            self.tasks.begin(id, self._off(id))

    async def _off(self, id: str) -> None:
        state = self.servers[id]["vm_state"] if id in self.servers else None
        if state in ("active", "paused", "suspended"):
            self._set(id, **IS_OFF)
        elif state in ("resized", "rescued"):
            self._set(id, power_state=SHUT_DOWN)

    # The cloud's own start and stop

    def setup(self) -> None:
        """Make the place of the instances' directories."""
        self.guests.directories.mkdir(mode=0o700, exist_ok=True)

    def resume(self) -> None:
        """At the emulator's start: boot what was active, finish what was begun, remove what nobody has."""
        for directory in self.guests.directories.iterdir():
            if directory.name not in self.servers:
                files.clear(directory)
        for id in [row["id"] for row in sorted(self.servers, key=lambda row: row["created"])]:
            self.forget_snapshot(id)
            action = states.at_start(self.servers[id])
            if action is states.OFF:
                self._set(id, **IS_OFF, task_state=None)
            elif action is not None:
                self._set(id, task_state=action.task, power_state=NO_STATE)
                self.tasks.begin(id, self.take(id, action))

    async def close(self) -> None:
        """At the emulator's end: stop what is being done, and give the servers' services a little time."""
        await self.tasks.close()
        active = [row["id"] for row in self.servers if row["power_state"] == RUNNING]
        if active:
            stops = (self.hypervisor.shutdown(id, CLOSE_GRACE_SECONDS) for id in active)
            await asyncio.gather(*stops, return_exceptions=True)
