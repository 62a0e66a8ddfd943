"""Accounts: their containers, their metadata, and what the object store says of itself."""

from __future__ import annotations

from typing import Any

from faafo_lab.cloud.emulator.common.service import JSON, Answer, Fault, Request, route
from faafo_lab.cloud.emulator.services.object_store import listing, manifests, metadata, tempurl
from faafo_lab.cloud.emulator.services.object_store.base import Swift
from faafo_lab.cloud.emulator.services.object_store.bulk import MAX_DELETES

POLICY = "Policy-0"
ACCOUNT_QUOTA = "X-Account-Meta-Quota-Bytes"
QUOTAS = {"object_store_bytes": -1}

INFO: JSON = {
    "swift": {
        "version": "2.30.0",
        "strict_cors_mode": True,
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
    "bulk_delete": {"max_deletes_per_request": MAX_DELETES, "max_failed_deletes": MAX_DELETES},
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


class Accounts(Swift):
    """Operations on accounts."""

    QUOTAS = QUOTAS

    @route("GET", "/info", open=True)
    @route("HEAD", "/info", open=True)
    def info(self, request: Request) -> JSON:
        """What there is, and the limits."""
        return INFO

    def account_quota(self) -> int:
        """How many bytes an account may have; -1 is no limit."""
        return self.limit("object_store_bytes")

    def _account_headers(self, request: Request, account: str) -> dict[str, str]:
        row, containers = self.records.account(account), len(self.records.shelf(account).names)
        objects, size = self.records.totals(account)
        headers = {**row["meta"], "X-Timestamp": row["timestamp"]}
        for infix in ("", f"Storage-Policy-{POLICY}-"):
            headers |= {
                f"X-Account-{infix}Container-Count": str(containers),
                f"X-Account-{infix}Object-Count": str(objects),
                f"X-Account-{infix}Bytes-Used": str(size),
            }
        if self.account_quota() >= 0:
            headers[ACCOUNT_QUOTA] = str(self.account_quota())
        return {**headers, "Accept-Ranges": "bytes"}

    @route("GET", "/{account}")
    @route("GET", "/{account}/")
    @route("HEAD", "/{account}")
    @route("HEAD", "/{account}/")
    def list_containers(self, request: Request, account: str) -> Answer:
        """An account's metadata, and its containers."""
        headers = self._account_headers(request, account)
        names = self.records.shelf(account).names if request.method == "GET" else []
        entries: list[Any] = []
        for name, is_subdir in listing.select(names, listing.wanted(request)):
            if is_subdir:
                entries.append({"subdir": name})
                continue
            row, shelf = self.container(account, name), self.records.shelf(f"{account}/{name}")
            entries.append(
                {
                    "name": name,
                    "count": len(shelf.names),
                    "bytes": shelf.bytes,
                    "last_modified": listing.iso(row["timestamp"]),
                }
            )
        return listing.answer(request, headers, entries, of="account", name=account, item="container")

    @route("POST", "/{account}", stream=True)
    @route("POST", "/{account}/", stream=True)
    async def change_account(self, request: Request, account: str) -> Answer:
        """Change an account's metadata, or delete many objects."""
        if "bulk-delete" in request.query:
            return await self.delete_many(request, account)
        if any(name.startswith(("X-Account-Meta-Quota-", "X-Remove-Account-Meta-Quota-")) for name in request.headers):
            raise Fault(403, "Only a reseller may change an account's quota.")
        row = self.records.account(account)
        self.records.put_account({**row, "meta": metadata.merged("Account", request.headers, row["meta"])})
        return Answer(204)

    @route("DELETE", "/{account}", stream=True)
    @route("DELETE", "/{account}/", stream=True)
    async def delete_account(self, request: Request, account: str) -> Answer:
        """Delete many objects; the account itself is the project's."""
        if "bulk-delete" in request.query:
            return await self.delete_many(request, account)
        raise Fault(403, "Access was denied to this resource.")

    async def delete_many(self, request: Request, account: str) -> Answer:
        """Delete many objects (see `bulk`)."""
        raise NotImplementedError
