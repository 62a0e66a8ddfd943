"""What the operations of block storage are given: all that there is, and what works on it."""

from __future__ import annotations

from faafo_lab.cloud.emulator.common.quotas import Quotas
from faafo_lab.cloud.emulator.services.block_storage.archive import AllBackups
from faafo_lab.cloud.emulator.services.block_storage.base import AllSnapshots, AllVolumes
from faafo_lab.cloud.emulator.services.block_storage.life import VolumeLife
from faafo_lab.cloud.emulator.services.image.api import Image
from faafo_lab.cloud.emulator.services.object_store.api import ObjectStore
from faafo_lab.cloud.emulator.site import Site


class Stock:
    """All volumes, snapshots and backups."""

    def __init__(self, site: Site, quotas: Quotas, images: Image, store: ObjectStore) -> None:
        self.site, self.quotas, self.images = site, quotas, images
        self.volumes, self.snapshots, self.backups = AllVolumes(site), AllSnapshots(site), AllBackups(site, store)
        self.life = VolumeLife(self.volumes, self.snapshots, self.backups, images)


class Part:
    """Operations on what there is."""

    def __init__(self, stock: Stock) -> None:
        self._quotas, self._images, self._life = stock.quotas, stock.images, stock.life
        self._volumes, self._snapshots, self._backups = stock.volumes, stock.snapshots, stock.backups
