"""Versions: what becomes of an object that is overwritten or deleted where its container has a place for old ones.

With X-Versions-Location, deleting an object brings back the one before; with X-History-Location, a deleted object goes
there, too, and a marker says that it was deleted. Source: https://docs.openstack.org/swift/latest/overview_versioning.html
"""

from __future__ import annotations

from faafo_lab.cloud.emulator.common.service import Fault
from faafo_lab.cloud.emulator.common.store import Row
from faafo_lab.cloud.emulator.services.object_store import listing
from faafo_lab.cloud.emulator.services.object_store.base import Collection, moved
from faafo_lab.cloud.emulator.services.object_store.metadata import OBJECT_NAME_BYTES, meant

DELETED = "application/x-deleted;swift_versions_deleted=1"
EMPTY_MD5 = "d41d8cd98f00b204e9800998ecf8427e"


def _prefix(name: str) -> str:
    return f"{len(name.encode()):03x}{name}/"


def _place(records: Collection, container: Row) -> str | None:
    """The name of the container for old versions. Raises a 412 `Fault` where it is not there."""
    location = container["meta"].get("X-Versions-Location") or container["meta"].get("X-History-Location")
    if location is None:
        return None
    place = meant(location)
    if records.get_container(container["account"], place) is None:
        raise Fault(412, f"The container {place} for old versions does not exist.")
    return place


def kept(records: Collection, container: Row, name: str) -> list[Row]:
    """The rows that keep the present object, if any, as an old version. Raises a 412 `Fault`."""
    place = _place(records, container)
    row = records.get_object(container["account"], container["name"], name)
    if place is None or row is None or "X-Object-Manifest" in row["meta"]:
        return []
    old = moved(row, row["account"], place, _prefix(name) + row["timestamp"])
    if len(old["name"].encode()) > OBJECT_NAME_BYTES:
        raise Fault(412, "The object's name is too long for old versions of it to be kept.")
    return [old]


def deleted(records: Collection, container: Row, row: Row) -> tuple[list[Row], list[Row]]:
    """The rows to keep and to remove where an object is deleted. Raises a 412 `Fault`."""
    place = _place(records, container)
    if place is None:
        return [], [row]
    account, name = row["account"], row["name"]
    if "X-History-Location" in container["meta"]:
        moment = records.moment()
        marker = moved(row, account, place, _prefix(name) + moment)
        empty = {"file": "", "bytes": 0, "etag": EMPTY_MD5, "type": DELETED, "timestamp": moment, "meta": {}}
        return [*kept(records, container, name), {**marker, **empty, "delete_at": None, "slo": None}], [row]
    removed = [row]
    names = records.shelf(f"{account}/{place}").names
    for old_name, _ in listing.select(names, listing.Wanted(prefix=_prefix(name), reverse=True)):
        old = records.get_object(account, place, old_name)
        if old is None:
            continue
        removed.append(old)
        if old["type"] != DELETED:
            return [moved(old, account, container["name"], name)], removed[1:]
    return [], removed
