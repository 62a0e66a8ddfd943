"""The volumes that a server boots with: what block_device_mapping_v2 asks for.

    image    → local     the server's own disk, as without a word
    volume   → volume    a volume that is there
    image    → volume    a new one, filled from an image; snapshot → volume, blank → volume alike

The device with boot_index 0 is the server's disk; the others are at /dev/vdb and so on when it boots.
Source: https://docs.openstack.org/nova/latest/user/block-device-mapping.html
"""

from __future__ import annotations

from faafo_lab.cloud.emulator.common.forwarding import ask
from faafo_lab.cloud.emulator.common.numbers import whole
from faafo_lab.cloud.emulator.common.service import JSON, Fault, Request
from faafo_lab.cloud.emulator.services.block_storage.api import Volume
from faafo_lab.cloud.emulator.services.compute.base import is_true

INVALID = "Block Device Mapping is Invalid: "
_TEXT: JSON = {"type": ["string", "null"], "maxLength": 255}
_NUMBER: JSON = {"type": ["integer", "string", "null"]}
DEVICE: JSON = {
    "source_type": {"type": "string", "enum": ["volume", "image", "snapshot", "blank"]},
    "destination_type": {"type": "string", "enum": ["local", "volume"]},
    "delete_on_termination": {"type": ["boolean", "string", "null"]},
    **dict.fromkeys(("boot_index", "volume_size"), _NUMBER),
    **dict.fromkeys(("uuid", "device_name", "device_type", "disk_bus", "guest_format", "no_device"), _TEXT),
}
_REFERENCES = {"image": "imageRef", "snapshot": "snapshot_id"}


def asked(wanted: JSON, count: int) -> list[JSON]:
    """The volumes that a new server wants: {"source", "uuid", "size", "root", "delete", …}. Raises a 400 `Fault`."""
    if wanted.get("block_device_mapping"):
        raise Fault(400, f"{INVALID}use block_device_mapping_v2.")
    devices = wanted.get("block_device_mapping_v2", [])
    found = [_asked(wanted, device, count) for device in devices]
    roots = [device for device in devices if str(device.get("boot_index")) == "0"]
    if len(roots) > 1 or (devices and not roots):
        why = "Boot sequence for the instance and image/block device mapping combination is not valid."
        raise Fault(400, INVALID + why)
    volumes = [each for each in found if each is not None]
    if wanted.get("imageRef") and any(each["root"] for each in volumes):
        raise Fault(400, f"{INVALID}a server boots from imageRef or from a volume, not from both.")
    return volumes


def _asked(wanted: JSON, device: JSON, count: int) -> JSON | None:
    source, uuid = device["source_type"], device.get("uuid")
    to = device.get("destination_type", "local" if source in ("image", "blank") else "volume")
    root, delete = str(device.get("boot_index")) == "0", is_true(device.get("delete_on_termination"))
    if device.get("no_device") or device.get("guest_format"):
        raise Fault(400, f"{INVALID}this cloud has no swap, and no devices to leave out.")
    if to == "local":
        if source == "image" and root and uuid == wanted.get("imageRef"):
            return None
        why = "the flavors have no ephemeral disks." if source == "blank" else "a local disk is the one of imageRef."
        raise Fault(400, INVALID + why)
    if source != "blank" and not uuid:
        raise Fault(400, f"{INVALID}a device from {source} needs its uuid.")
    if source == "blank" and root:
        raise Fault(400, f"{INVALID}nothing boots from a blank volume.")
    text = device.get("volume_size")
    size = whole(str(text)) if text is not None else None
    if (text is not None or source in ("image", "blank")) and source != "volume" and not size:
        raise Fault(400, f"{INVALID}a volume from {source} needs a volume_size above 0.")
    if source == "volume" and count > 1:
        raise Fault(400, "Cannot attach one or more volumes to multiple instances")
    more = {"tag": device.get("tag"), "type": device.get("volume_type")}
    return {"source": source, "uuid": uuid, "size": size, "root": root, "delete": delete, **more}


async def volumes(request: Request, cinder: Volume, devices: list[JSON], count: int) -> list[list[JSON]]:
    """The volumes of `count` servers, as their rows have them: those that are there are checked, the others made.

    They are filled beside the APIs. Raises a `Fault`, and then none was made.
    """
    made: list[str] = []
    found: list[list[JSON]] = [[] for _ in range(count)]
    try:
        for mine in found:
            for device in devices:
                id = device["uuid"]
                if device["source"] == "volume":
                    _check(cinder, request, device)
                else:
                    body = {"size": device["size"], "name": "", _REFERENCES.get(device["source"], "source_volid"): id}
                    body["volume_type"] = device["type"]
                    new = await ask(cinder, request, "POST", f"/v3/{request.project}/volumes", {"volume": body})
                    id = new["volume"]["id"]
                    made.append(id)
                    if device["root"] and new["volume"]["bootable"] != "true":
                        raise Fault(400, f"Block Device {device['uuid']} is not bootable.")
                mine.append({"id": id, "root": device["root"], "delete": device["delete"], "tag": device["tag"]})
    except Fault as fault:
        for id in made:
            cinder.discard(id)
        raise Fault(403 if fault.status == 413 else 400, fault.message) from None
    return found


def _check(cinder: Volume, request: Request, device: JSON) -> None:
    """A volume that is there has to be free, and bootable where a server boots from it. Raises a `Fault`."""
    try:
        row = cinder.volume(request, device["uuid"])
    except Fault:
        raise Fault(400, f"{INVALID}failed to get volume {device['uuid']}.") from None
    if row["status"] != "available":
        raise Fault(400, f"{INVALID}volume {row['id']} must be available, and it is {row['status']}.")
    if device["root"] and row["bootable"] != "true":
        raise Fault(400, f"Block Device {row['id']} is not bootable.")
