"""A server's life: building, stopping, starting, rebooting, deleting, each as a task beside the APIs.

    building ──boot──► active ◄──start/reboot──► stopped
        └────────────► error (with a fault)          any ──delete──► gone

`vm_state` is what a server is, `task_state` what is being done with it; both are kept, so that an emulator that was
killed takes up at its next start what it was doing. A server's tasks run one after the other.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import re
import shutil
import sqlite3
import time
from collections.abc import Coroutine
from pathlib import Path
from typing import Any

from faafo_lab.cloud.emulator.common.service import JSON, Fault, now
from faafo_lab.cloud.emulator.common.store import Row, Table
from faafo_lab.cloud.emulator.machinery.hypervisor.client import Guest, Hypervisor, HypervisorError
from faafo_lab.cloud.emulator.services.block_storage.mounts import Mounts
from faafo_lab.cloud.emulator.services.compute.flavors import FLAVORS
from faafo_lab.cloud.emulator.services.compute.history import History
from faafo_lab.cloud.emulator.services.image.api import Image
from faafo_lab.cloud.emulator.services.network.api import Network
from faafo_lab.cloud.emulator.site import Site

log = logging.getLogger(__name__)

BOOTS_AT_ONCE = 8
STOP_GRACE_SECONDS = 10.0  # a service's time to end by itself at a stop or a soft reboot
ROOM_SECONDS = 1.0  # between two looks whether a full disk has room again
CLOSE_GRACE_SECONDS = 3.0  # the same, when the whole cloud stops


def hostname(name: str) -> str:
    """A server's name as a hostname, as Nova makes it."""
    name = re.sub(r"[^a-z0-9.-]+", "", re.sub(r"[ _]", "-", name.lower())).strip(".-")[:63]
    return name or "server"


class Lifecycle:
    """The tasks of all servers."""

    def __init__(self, site: Site, network: Network, images: Image, mounts: Mounts, hypervisor: Hypervisor) -> None:
        self.site, self.network, self.images, self.mounts, self.hypervisor = site, network, images, mounts, hypervisor
        self.history = History(site.store)
        self._tasks: dict[str, list[asyncio.Task[None]]] = {}
        self._boots = asyncio.Semaphore(BOOTS_AT_ONCE)

    @property
    def servers(self) -> Table:
        """The servers' rows."""
        return self.site.store.table("server")

    def directory(self, id: str) -> Path:
        """A server's own directory: its disk and its console log."""
        return self.site.directory / "instances" / id

    # Tasks

    def _begin(self, id: str, work: Coroutine[Any, Any, None], *, now: bool = False) -> None:
        """Do this after what is being done with the server; with `now`, instead of it: that does not a step more."""
        earlier = tuple(self._tasks.get(id, ()))
        action = self.history.open(id)
        result = "Error"
        if now:
            for each in earlier:
                each.cancel()

        async def run() -> None:
            nonlocal result
            try:
                if earlier:
                    await asyncio.wait(earlier)
                await work
                result = "Success"
            except HypervisorError as error:
                await self._fail_at_last(id, str(error))
            except sqlite3.Error as error:
                await self._fail_at_last(id, f"The state could not be written ({error}): was the disk full?")
            except Fault as fault:
                await self._fail_at_last(id, fault.message)
            except OSError as error:
                await self._fail_at_last(id, f"The instance's files could not be written: {error}.")
            except Exception as error:
                log.exception("server %s", id)
                await self._fail_at_last(id, f"Unexpected error: {error!r}; see emulator.log.")

        def ended(task: asyncio.Task[None]) -> None:
            work.close()  # where it was cancelled before it began
            self._tasks[id].remove(task)
            if not self._tasks[id]:
                del self._tasks[id]
            with contextlib.suppress(sqlite3.Error):
                self.history.end(id, action, result)

        task = asyncio.get_running_loop().create_task(run(), name=f"server {id}")
        self._tasks.setdefault(id, []).append(task)
        task.add_done_callback(ended)

    async def _fail_at_last(self, id: str, message: str) -> None:
        """Keep the fault; while the disk is full, again and again, so that no server hangs in what it was doing."""
        while True:
            try:
                return self._fail(id, message)
            except sqlite3.Error as error:
                log.error("server %s: %s The state could not be written: %s", id, message, error)
            await asyncio.sleep(ROOM_SECONDS)

    def _fail(self, id: str, message: str) -> None:
        log.warning("server %s: %s", id, message)
        if id in self.servers:
            fault = {"code": 500, "created": now(), "message": message}
            self.servers.update(id, vm_state="error", task_state=None, power_state=0, fault=fault, updated=now())

    def _set(self, id: str, **changes: Any) -> None:
        self.servers.update(id, **changes, updated=now())

    # Building

    def build(self, id: str) -> None:
        """Build a new server."""
        self._begin(id, self._build(id))

    async def _build(self, id: str) -> None:
        async with self._boots:
            self._set(id, task_state="networking")
            self._connect(self.servers[id])
            self._set(id, task_state="spawning")
            await self._clear(id)
            await self._boot(id)

    async def _clear(self, id: str) -> None:
        """Remove what a build that was cut short left behind."""
        if self.directory(id).exists():
            await self.hypervisor.kill(id)
            await asyncio.to_thread(shutil.rmtree, self.directory(id), ignore_errors=True)

    def _connect(self, row: Row) -> None:
        """Give the server the ports that it wants and has not. Raises a `Fault`."""
        network = self.network
        with self.site.store.transaction():
            for wanted in row["networks"]:
                had = {port["network_id"] for port in network.ports_of(row["id"])}
                if wanted.get("port") in network.ports.table or wanted.get("uuid") not in had:
                    self.connect(row, wanted)

    def connect(self, row: Row, wanted: JSON) -> Row:
        """Give the server a port: one that it brings, or a new one. Raises a `Fault`."""
        network = self.network
        owned = {"device_id": row["id"], "device_owner": "compute:nova", "status": "ACTIVE"}
        if port := network.ports.table.get(wanted.get("port")):
            return network.ports.touch(port["id"], **owned)
        if "port" in wanted:
            raise Fault(400, f"Port id {wanted['port']} could not be found.")
        fixed = [{"ip_address": wanted["fixed_ip"]}] if wanted.get("fixed_ip") else None
        values = {name: each.default for name, each in network.ports.attributes.items()}
        values |= {"network_id": wanted["uuid"], "fixed_ips": fixed, "security_groups": row["groups"]}
        return network.ports.plug(row["project_id"], values, owned)

    def disconnect(self, row: Row, port: Row) -> None:
        """Take a port off the server: one that its owner made stays."""
        ports = self.network.ports
        if any(wanted.get("port") == port["id"] for wanted in row["networks"]):
            ports.touch(port["id"], device_id="", device_owner="", status="DOWN")
        else:
            ports.remove(port["id"])

    async def _boot(self, id: str, **changes: Any) -> None:
        """Boot the server, new or not; then it is active, or what `changes` say."""
        guest = self._guest(self.servers[id])
        Path(guest.directory).mkdir(mode=0o700, parents=True, exist_ok=True)
        self.mounts.plug(id)
        await self.hypervisor.boot(guest)
        row = self.servers[id]
        launched = row["launched_at"] or now()[:-1] + ".000000"
        up = {"vm_state": "active", "task_state": None, "power_state": 1, "booted": True, "fault": None}
        self._set(id, **{**up, "launched_at": launched, **changes})

    def _guest(self, row: Row) -> Guest:
        flavor = FLAVORS[row["flavor_id"]]
        keys = {row["key_name"]: row["public_key"]} if row["public_key"] else {}
        return Guest(
            id=row["id"],
            name=hostname(row["name"]),
            directory=str(self.directory(row["id"])),
            ports=str(self.hypervisor.ports_dir(row["id"])),
            image_path=str(self.images.file(row["image_id"])),
            cores=flavor.cores,
            memory_mb=flavor.ram_mb,
            public_keys=tuple(keys.values()),
            user_data=row["user_data"],
            metadata=self.metadata(row),
            metadata_url=self.site.metadata_url,
            first_boot=not row["booted"],
        )

    def metadata(self, row: Row) -> JSON:
        """What the server is told of itself: meta_data.json, and its addresses."""
        keys = {row["key_name"]: row["public_key"]} if row["public_key"] else {}
        network = self.network
        return {
            "uuid": row["id"],
            "name": row["name"],
            "hostname": hostname(row["name"]),
            "availability_zone": "nova",
            "launch_index": row["launch_index"],
            "project_id": row["project_id"],
            "meta": row["metadata"],
            "public_keys": keys,
            "keys": [{"name": name, "type": "ssh", "data": key} for name, key in keys.items()],
            "addresses": [ip["ip_address"] for port in network.ports_of(row["id"]) for ip in port["fixed_ips"]],
            "devices": self.mounts.devices(row["id"]),
            "published_port_offset": self.site.port_offset,
        }

    # Actions on a server that is there; the caller has checked its state

    def stop(self, id: str) -> None:
        """Stop it: its services get time to end."""
        self._set(id, task_state="powering-off")
        self._begin(id, self._stop(id))

    async def _stop(self, id: str) -> None:
        await self.hypervisor.shutdown(id, STOP_GRACE_SECONDS)
        self._set(id, vm_state="stopped", task_state=None, power_state=4)

    def start(self, id: str) -> None:
        """Boot it again."""
        self._set(id, task_state="powering-on")
        self._begin(id, self._boot(id))

    def reboot(self, id: str, *, hard: bool) -> None:
        """Stop and boot it again; a hard reboot gives its services no time."""
        self._set(id, task_state="rebooting_hard" if hard else "rebooting")
        self._begin(id, self._reboot(id, hard))

    async def _reboot(self, id: str, hard: bool) -> None:
        if hard:
            await self.hypervisor.kill(id)
        else:
            await self.hypervisor.shutdown(id, STOP_GRACE_SECONDS)
        await self._boot(id)

    # The end

    def delete(self, id: str) -> None:
        """Kill it and remove all that it had, whatever is being done with it."""
        if self.servers[id]["task_state"] != "deleting":
            self._set(id, task_state="deleting")
            self._begin(id, self._delete(id), now=True)

    async def _delete(self, id: str) -> None:
        await self.hypervisor.kill(id)
        await asyncio.to_thread(_remove, self.directory(id))
        self.mounts.release(id)
        row = self.servers[id]
        with self.site.store.transaction():
            for port in self.network.ports_of(id):
                self.disconnect(row, port)
            self.servers.delete(id)
            self.history.bury(row)

    def exited(self, id: str) -> None:
        """The hypervisor says that the server's init ended by itself."""
        row = self.servers.get(id)
        if row is not None and row["task_state"] is None and self.site.running:
            self._begin(id, self._off(id))

    async def _off(self, id: str) -> None:
        state = self.servers[id]["vm_state"] if id in self.servers else None
        if state in ("active", "paused", "suspended"):
            self._set(id, vm_state="stopped", power_state=4)
        elif state == "resized":
            self._set(id, power_state=4)

    # The cloud's own start and stop

    def resume(self) -> None:
        """At the emulator's start: boot what was active, finish what was begun, remove what nobody has."""
        for directory in (self.site.directory / "instances").iterdir():
            if directory.name not in self.servers:
                shutil.rmtree(directory, ignore_errors=True)
        for row in sorted(self.servers, key=lambda row: str(row["created"])):
            if row["id"] in self._tasks:
                continue
            if row["task_state"] == "deleting":
                self._begin(row["id"], self._delete(row["id"]))
            elif row["vm_state"] == "building":
                self.build(row["id"])
            elif row["task_state"] == "powering-off":
                self._set(row["id"], vm_state="stopped", task_state=None, power_state=4)
            elif row["vm_state"] == "active" or row["task_state"] in ("powering-on", "rebooting", "rebooting_hard"):
                self._set(row["id"], task_state="rebooting", power_state=0)
                self._begin(row["id"], self._again(row["id"]))

    async def _again(self, id: str) -> None:
        async with self._boots:
            await self._boot(id)

    async def close(self) -> None:
        """At the emulator's end: stop what is being done, and give the servers' services a little time."""
        tasks = [task for each in self._tasks.values() for task in each]
        for task in tasks:
            task.cancel()
        if tasks:
            await asyncio.wait(tasks)
        active = [row["id"] for row in self.servers if row["power_state"] == 1]
        if active:
            stops = (self.hypervisor.shutdown(id, CLOSE_GRACE_SECONDS) for id in active)
            await asyncio.gather(*stops, return_exceptions=True)


def _remove(directory: Path) -> None:
    """Remove a directory at once: moved out of the way first, so that a half-removed one is never used again.

    It may not be there yet, or, where a build was to be begun anew, just be removed.
    """
    grave = directory.with_name(f"{directory.name}.deleted-{time.monotonic_ns()}")
    with contextlib.suppress(FileNotFoundError):
        directory.rename(grave)
    shutil.rmtree(grave, ignore_errors=True)
