"""The object store: the service itself, and deleting many objects at once."""

from __future__ import annotations

import asyncio

from faafo_lab.cloud.emulator.common.service import Answer, Fault, Request
from faafo_lab.cloud.emulator.services.object_store import bulk
from faafo_lab.cloud.emulator.services.object_store.containers import Containers
from faafo_lab.cloud.emulator.services.object_store.copies import Copies

BATCH = 50  # deletions between two looks at other requests


class ObjectStore(Containers, Copies):
    """The object storage service."""

    def setup(self) -> None:
        """Remove what cut-short uploads have left, and see whose time is over."""
        self.files.setup({row["file"] for row in self.records.objects()})
        for row in self.records.objects():
            self.expirer.watch(row)

    def close(self) -> None:
        """Do no more."""
        self.expirer.close()

    async def delete_many(self, request: Request, account: str) -> Answer:
        """Delete the objects, and the empty containers, that the body names, in its order."""
        deleted, missing, errors = 0, 0, []
        for number, path in enumerate(bulk.paths(await self.text(request.chunks, bulk.MAX_BODY_BYTES))):
            if number % BATCH == BATCH - 1:
                await asyncio.sleep(0)
            container, _, name = path.removeprefix("/").partition("/")
            try:
                if name:
                    self.discard(self.object(account, container, name))
                else:
                    self.delete_container(request, account, container)
                deleted += 1
            except Fault as fault:
                if fault.status == 404:
                    missing += 1
                else:
                    errors.append((path, fault.status))
        return bulk.answer(request, deleted, missing, errors)
