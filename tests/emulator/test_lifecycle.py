"""What happens to a server when it is deleted in the midst of something else: the promise of its end stands."""

import asyncio
from collections.abc import Callable, Coroutine
from pathlib import Path
from typing import Any

from faafo_lab.cloud.emulator.common.store import Store
from faafo_lab.cloud.emulator.machinery.hypervisor.client import Hypervisor
from faafo_lab.cloud.emulator.services.block_storage.api import Volume
from faafo_lab.cloud.emulator.services.compute.lifecycle import Lifecycle
from faafo_lab.cloud.emulator.services.identity.api import Identity
from faafo_lab.cloud.emulator.services.image.api import Image
from faafo_lab.cloud.emulator.services.network.api import Network
from faafo_lab.cloud.emulator.services.object_store.api import ObjectStore
from faafo_lab.cloud.emulator.site import Site
from tests.waiting import LIMIT_SECONDS

Work = Coroutine[Any, Any, None]


def deleted_amid(directory: Path, *works: Callable[[Lifecycle, asyncio.Event], Work]) -> list[str | None]:
    """The task states that a server shows from its deletion to its end, each work's event being set just before."""
    (directory / "instances").mkdir(parents=True)

    async def main() -> list[str | None]:
        site = Site(directory, Store(directory / "state.sqlite"), {}, 9, 5000, 0)
        hypervisor, tokens = Hypervisor(directory, lambda id: None), Identity(site, tuple)
        network, images = Network(site, tokens, lambda id: None), Image(site, tokens)
        volumes = Volume(site, tokens, images, ObjectStore(site, tokens), hypervisor.console)
        life = Lifecycle(site, network, images, volumes, hypervisor)
        table = life.servers
        try:
            table.put({"id": "one", "vm_state": "building", "task_state": "spawning", "networks": []})
            moment = asyncio.Event()
            for work in works:
                life.tasks.begin("one", work(life, moment))
            await asyncio.sleep(0)  # the first one has begun
            moment.set()  # it may go on, and has not yet
            life.delete("one")
            seen = []
            async with asyncio.timeout(LIMIT_SECONDS):
                while (row := table.get("one")) is not None:
                    seen.append(row["task_state"])
                    await asyncio.sleep(0)
            await life.close()
            return seen
        finally:
            site.store.close()

    return asyncio.run(main())


async def boot(life: Lifecycle, moment: asyncio.Event) -> None:
    """As a boot ends: what it has waited for is there, and the server is active."""
    await moment.wait()
    life.servers.update("one", vm_state="active", task_state=None)


async def nothing(life: Lifecycle, moment: asyncio.Event) -> None:
    """What waits for its turn."""


def test_a_boot_that_ends_just_then_does_not_take_the_deletion_back(tmp_path: Path) -> None:
    assert set(deleted_amid(tmp_path, boot)) == {"deleting"}


def test_a_deletion_ends_all_that_is_to_be_done_and_not_the_last_alone(tmp_path: Path) -> None:
    assert set(deleted_amid(tmp_path, boot, nothing)) == {"deleting"}
