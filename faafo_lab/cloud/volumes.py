"""The block storage of a `Cloud` (Cinder): volumes, which outlive servers, and their snapshots.

The verbs that wait are written once, on each library's own requests (`_make_volume` …). The libraries' own waits serve
less: shade looks every two seconds, libcloud and openstacksdk don't wait at all.

Source: https://docs.openstack.org/api-ref/block-storage/v3
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from typing import Any, TypeVar

from faafo_lab.cloud import records
from faafo_lab.cloud.config import CloudConfig
from faafo_lab.cloud.errors import BadRequest, CloudFailed, InUse, NotFound
from faafo_lab.cloud.lookup import pick
from faafo_lab.cloud.marks import CREATED
from faafo_lab.cloud.model import Server, Snapshot, Volume, VolumeLimits
from faafo_lab.cloud.verbs import verb
from faafo_lab.cloud.waiting import Look, wait_until

USABLE = ("available", "in-use")  # a volume's statuses once it was created

T = TypeVar("T", Volume, Snapshot)


class BlockStorage(ABC):
    """The verbs for volumes and snapshots. They raise NoService where the cloud has none.

    Where one takes a volume or a snapshot it takes the dataclass, or a name or id. Each looks up its present state, and
    returns when what it asked for is so; the limit of such a wait is the cloud's own, `config.wait_seconds`.
    """

    config: CloudConfig

    # ---- what a backend implements: the lists, and one request each ----

    @abstractmethod
    def volumes(self) -> list[Volume]:
        """The project's volumes, oldest first."""

    @abstractmethod
    def snapshots(self) -> list[Snapshot]:
        """The snapshots of the project's volumes, oldest first."""

    @abstractmethod
    def _make_volume(self, name: str, gigabytes: int, description: str, snapshot: Snapshot | None) -> str:
        """Request a volume; returns its id."""

    @abstractmethod
    def _attach(self, server: Server, volume: Volume) -> None:
        """Request an attachment."""

    @abstractmethod
    def _detach(self, volume: Volume) -> None:
        """Request the end of a volume's attachment."""

    @abstractmethod
    def _remove_volume(self, volume: Volume) -> None:
        """Request a volume's deletion."""

    @abstractmethod
    def _make_snapshot(self, volume: Volume, name: str, description: str) -> str:
        """Request a snapshot, also of an attached volume; returns its id."""

    @abstractmethod
    def _remove_snapshot(self, snapshot: Snapshot) -> None:
        """Request a snapshot's deletion."""

    @abstractmethod
    def _volume_limits(self) -> records.Record:
        """Cinder's `limits.absolute`."""

    @abstractmethod
    def _server(self, server: Server | str) -> Server:
        """The server, looked up if it is a name or id."""

    # ---- volumes ----

    @verb
    def create_volume(
        self,
        name: str,
        gigabytes: int,
        *,
        snapshot: Snapshot | str | None = None,
        description: str = CREATED,
        progress: bool = True,
    ) -> Volume:
        """Create a volume, empty or with a snapshot's content, and wait until it is available.

        OpenStack allows several of one name: see `get_or_create_volume`. Its description marks it as the lab's.
        Raises BadRequest if it is smaller than the snapshot, QuotaExceeded, CloudFailed if Cinder could not make it.
        """
        if not name:
            raise BadRequest("A volume needs a name: give it one, such as 'app-database'.")
        if gigabytes < 1:
            raise BadRequest(f"create_volume: gigabytes must be at least 1, not {gigabytes}.")
        content = None if snapshot is None else _present("snapshot", self.snapshots(), snapshot)
        id = self._make_volume(name, gigabytes, description, content)
        return _await("volume", self.volumes, id, name, ("available",), self.config.wait_seconds, progress)

    @verb
    def attach_volume(self, server: Server | str, volume: Volume | str, *, progress: bool = True) -> str:
        """Attach a volume to a server, and wait until it is; returns its device there, such as "/dev/vdb".

        If it is attached to this server already, nothing changes. Raises InUse if it is attached to another one.
        """
        server, there = self._server(server), _present("volume", self.volumes(), volume)
        if there.server_id not in (None, server.id):
            raise InUse(
                f"Volume {there.name!r} is attached to another server ({there.server_id}): detach it first, "
                f"`cloud.detach_volume({there.name!r})`."
            )
        if there.server_id is None:
            self._attach(server, there)
        seconds = self.config.wait_seconds
        there = _await("volume", self.volumes, there.id, there.name, ("in-use",), seconds, progress)
        return there.device or ""

    @verb
    def detach_volume(self, volume: Volume | str, *, progress: bool = True) -> Volume:
        """Detach a volume from its server, and wait until it is available; no error if it is attached to none.

        Unmount it on the server first: what the server has not written yet is lost. Raises TimedOut if the server
        does not let go of it.
        """
        there = _present("volume", self.volumes(), volume)
        if there.status == "in-use":
            self._detach(there)
        return _await("volume", self.volumes, there.id, there.name, ("available",), self.config.wait_seconds, progress)

    @verb
    def delete_volume(self, volume: Volume | str, *, progress: bool = True) -> None:
        """Delete a volume with its content, and wait until it is gone.

        Raises InUse while it is attached, or has snapshots.
        """
        there = _present("volume", self.volumes(), volume)
        self._remove_volume(there)
        _await_end("volume", self.volumes, there, self.config.wait_seconds, progress)

    # ---- snapshots ----

    @verb
    def create_snapshot(
        self, volume: Volume | str, name: str, *, description: str = CREATED, progress: bool = True
    ) -> Snapshot:
        """Take a snapshot of a volume, and wait until it is available.

        Of an attached volume it has what a power failure would leave at that moment: what a program on the server has
        not written yet is not in it.
        """
        if not name:
            raise BadRequest("A snapshot needs a name: give it one, such as 'before'.")
        id = self._make_snapshot(_present("volume", self.volumes(), volume), name, description)
        return _await("snapshot", self.snapshots, id, name, ("available",), self.config.wait_seconds, progress)

    @verb
    def delete_snapshot(self, snapshot: Snapshot | str, *, progress: bool = True) -> None:
        """Delete a snapshot, and wait until it is gone; volumes that were made from it stay."""
        there = _present("snapshot", self.snapshots(), snapshot)
        self._remove_snapshot(there)
        _await_end("snapshot", self.snapshots, there, self.config.wait_seconds, progress)

    # ---- the project ----

    @verb
    def volume_limits(self) -> VolumeLimits:
        """The project's quotas of volumes, snapshots and gigabytes, and how much of each is used."""
        return records.volume_limits(self._volume_limits())

    # ---- for `Cloud` ----

    def _usable(self, volume: Volume) -> Volume:
        """The volume once it can be used. Raises NotFound if it was being deleted."""
        return _await("volume", self.volumes, volume.id, volume.name, USABLE, self.config.wait_seconds, True)


def _present(kind: str, things: Sequence[T], wanted: T | str) -> T:
    """The present record of a volume or snapshot. Raises NotFound, Ambiguous."""
    if isinstance(wanted, str):
        return pick(kind, things, wanted)
    for thing in things:
        if thing.id == wanted.id:
            return thing
    raise NotFound(f"There is no {kind} {wanted.name!r} any more: it was deleted.")


def _await(
    kind: str, listed: Callable[[], list[T]], id: str, name: str, wanted: Sequence[str], seconds: float, progress: bool
) -> T:
    """Wait until a volume or snapshot has one of these statuses. Raises CloudFailed if it is in error, NotFound if it
    is gone, TimedOut."""
    found: list[T] = []

    def look() -> Look:
        found[:] = [thing for thing in listed() if thing.id == id]
        if not found:
            raise NotFound(f"There is no {kind} {name!r} any more: it was deleted.")
        status = found[0].status
        if status.startswith("error"):
            raise CloudFailed(f"{kind.capitalize()} {name!r} failed, its status is {status}: delete it and try again.")
        return Look(int(status in wanted), 1, f"{name} {status}")

    wait_until(look, f"{kind}s {' or '.join(wanted)}", seconds, progress=progress)
    return found[0]


def _await_end(kind: str, listed: Callable[[], list[T]], thing: T, seconds: float, progress: bool) -> None:
    """Wait until a volume or snapshot is gone. Raises CloudFailed if Cinder could not delete it, TimedOut."""

    def look() -> Look:
        left: Any = next((each for each in listed() if each.id == thing.id), None)
        if left is not None and left.status == "error_deleting":
            raise CloudFailed(f"The cloud could not delete {kind} {thing.name!r}: ask its administrator.")
        return Look(int(left is None), 1, f"{thing.name} {left.status}" if left else "")

    wait_until(look, f"{kind}s deleted", seconds, progress=progress)
