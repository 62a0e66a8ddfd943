"""Accounts: their containers, their metadata, and what the object store says of itself."""

from __future__ import annotations

import asyncio

from faafo_lab.cloud.emulator.common.service import JSON, Answer, Fault, Request, route
from faafo_lab.cloud.emulator.services.object_store import bulk, listing, manifests, metadata, tempurl
from faafo_lab.cloud.emulator.services.object_store.base import POLICY, Collection, text
from faafo_lab.cloud.emulator.services.object_store.containers import Containers
from faafo_lab.cloud.emulator.services.object_store.objects import Objects

ACCOUNT_QUOTA = "X-Account-Meta-Quota-Bytes"
BATCH = 50  # deletions between two looks at other requests

INFO: JSON = {
    "swift": {
        "version": "2.30.0",
        "policies": [{"name": POLICY, "default": True, "aliases": POLICY}],
        "allow_account_management": False,
        "account_autocreate": True,
        "max_file_size": metadata.MAX_FILE_BYTES,
        "max_meta_name_length": metadata.META_NAME_BYTES,
        "max_meta_value_length": metadata.META_VALUE_BYTES,
        "max_meta_count": metadata.META_COUNT,
        "max_meta_overall_size": metadata.META_BYTES,
        "max_account_name_length": metadata.ACCOUNT_NAME_BYTES,
        "max_container_name_length": metadata.CONTAINER_NAME_BYTES,
        "max_object_name_length": metadata.OBJECT_NAME_BYTES,
        "account_listing_limit": listing.MAX,
        "container_listing_limit": listing.MAX,
        "valid_api_versions": ["v1"],
    },
    "account_quotas": {},
    "bulk_delete": {"max_deletes_per_request": bulk.MAX_DELETES, "max_failed_deletes": bulk.MAX_DELETES},
    "container_quotas": {},
    "dlo": {"max_segments": listing.MAX},
    "slo": {
        "max_manifest_segments": manifests.MAX_SEGMENTS,
        "max_manifest_size": manifests.MAX_MANIFEST_BYTES,
        "min_segment_size": 1,
    },
    "tempurl": {
        "methods": list(tempurl.METHODS),
        "allowed_digests": list(tempurl.DIGESTS),
        "incoming_allow_headers": [],
        "incoming_remove_headers": [],
        "outgoing_allow_headers": [],
        "outgoing_remove_headers": [],
    },
    "versioned_writes": {"allowed_flags": ["x-versions-location", "x-history-location"]},
}


class Accounts:
    """Operations on accounts."""

    def __init__(self, collection: Collection, containers: Containers, objects: Objects, quota: int) -> None:
        """`quota` is how many bytes an account may have; -1: any number."""
        self._all, self._containers, self._objects, self._quota = collection, containers, objects, quota

    @route("GET", "/info", open=True)
    @route("HEAD", "/info", open=True)
    def info(self, request: Request) -> JSON:
        """What there is, and the limits."""
        return INFO

    def _account_headers(self, request: Request, account: str) -> dict[str, str]:
        row, containers = self._all.account(account), len(self._all.shelf(account).names)
        objects, size = self._all.totals(account)
        headers = {**row["meta"], "X-Timestamp": row["timestamp"]}
        for infix in ("", f"Storage-Policy-{POLICY}-"):
            headers |= {
                f"X-Account-{infix}Container-Count": str(containers),
                f"X-Account-{infix}Object-Count": str(objects),
                f"X-Account-{infix}Bytes-Used": str(size),
            }
        if self._quota >= 0:
            headers[ACCOUNT_QUOTA] = str(self._quota)
        return {**headers, "Accept-Ranges": "bytes"}

    @route("GET", "/{account}")
    @route("HEAD", "/{account}")
    def list_containers(self, request: Request, account: str) -> Answer:
        """An account's metadata, and its containers."""
        headers = self._account_headers(request, account)

        def view(name: str) -> JSON:
            row, shelf = self._all.container(account, name), self._all.shelf(f"{account}/{name}")
            moment = listing.iso(row["timestamp"])
            return {"name": name, "count": len(shelf.names), "bytes": shelf.bytes, "last_modified": moment}

        names = self._all.shelf(account).names
        return listing.answer(request, headers, names, view, of="account", name=account, item="container")

    @route("POST", "/{account}", stream=True)
    @route("DELETE", "/{account}", stream=True)
    async def change_account(self, request: Request, account: str) -> Answer:
        """Change an account's metadata, or delete many objects; the account itself is the project's."""
        if "bulk-delete" in request.query:
            return await self._delete_many(request, account)
        if request.method == "DELETE":
            raise Fault(403, "Access was denied to this resource.")
        if any(name.startswith(("X-Account-Meta-Quota-", "X-Remove-Account-Meta-Quota-")) for name in request.headers):
            raise Fault(403, "Only a reseller may change an account's quota.")
        row = self._all.account(account)
        self._all.accounts.put({**row, "meta": metadata.merged("Account", request.headers, row["meta"])})
        return Answer(204)

    async def _delete_many(self, request: Request, account: str) -> Answer:
        """Delete the objects, and the empty containers, that the body names, in its order."""
        outcomes = []
        for number, path in enumerate(bulk.paths(await text(request.chunks, bulk.MAX_BODY_BYTES))):
            if number % BATCH == BATCH - 1:
                await asyncio.sleep(0)
            container, _, name = path.removeprefix("/").partition("/")
            try:
                if name:
                    self._objects.discard(self._all.object(account, container, name))
                else:
                    self._containers.delete(request, account, container)
                outcomes.append((path, 204))
            except Fault as fault:
                outcomes.append((path, fault.status))
        return bulk.answer(request, outcomes, "" if outcomes else "Invalid bulk delete.")
