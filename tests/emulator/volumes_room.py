"""What the tests of block storage share: volumes and snapshots of a project, awaited, and where they are."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from tests.waiting import wait_for

from .conftest import Api


class Volumes:
    """A project's block storage."""

    def __init__(self, api: Api) -> None:
        self.api = api
        self.path = f"/volume/v3/{api.project}"

    def __call__(self, method: str, path: str, body: Any = None, version: str = "", **more: Any) -> Any:
        """A request, of this microversion where one is named."""
        headers = {"headers": {"OpenStack-API-Version": f"volume {version}"}} if version else {}
        return self.api(method, self.path + path, body, **headers, **more)

    def get(self, path: str, version: str = "") -> Any:
        """The JSON that a GET answers, which must succeed."""
        answer = self("GET", path, version=version)
        assert answer.status_code == 200, answer.text
        return answer.json()

    def status(self, kind: str, id: str, status: str) -> dict[str, Any]:
        """Await a status of a volume or snapshot; fails at once where it is in error instead."""

        def there() -> dict[str, Any] | None:
            found: dict[str, Any] = self.get(f"/{kind}s/{id}")[kind]
            if found["status"] == "error" != status:
                pytest.fail(f"{kind} in error")
            return found if found["status"] == status else None

        return wait_for(f"{kind} {id} {status}", there)

    def make(self, **wanted: Any) -> str:
        """Create a volume, of 1 GB unless it says something else, and await it; its id."""
        answer = self("POST", "/volumes", {"volume": {"size": 1, **wanted}})
        assert answer.status_code == 202, answer.text
        id = str(answer.json()["volume"]["id"])
        self.status("volume", id, "available")
        return id

    def snap(self, volume: str, **wanted: Any) -> str:
        """Take a snapshot and await it; its id."""
        answer = self("POST", "/snapshots", {"snapshot": {"volume_id": volume, **wanted}})
        assert answer.status_code == 202, answer.text
        id = str(answer.json()["snapshot"]["id"])
        self.status("snapshot", id, "available")
        return id

    def back_up(self, volume: str, version: str = "", **wanted: Any) -> str:
        """Back a volume up and await it; its id."""
        answer = self("POST", "/backups", {"backup": {"volume_id": volume, **wanted}}, version=version)
        assert answer.status_code == 202, answer.text
        id = str(answer.json()["backup"]["id"])
        self.status("backup", id, "available")
        return id

    def remove(self, kind: str, id: str) -> None:
        """Delete a volume or snapshot, and wait until it is gone."""
        assert self("DELETE", f"/{kind}s/{id}").status_code == 202
        wait_for(f"{kind} {id} gone", lambda: self("GET", f"/{kind}s/{id}").status_code == 404)

    def clear(self) -> None:
        for each in self.get("/os-volume-transfer")["transfers"]:
            assert self("DELETE", f"/os-volume-transfer/{each['id']}").status_code == 202
        for each in self.get("/backups")["backups"]:
            self.remove("backup", each["id"])
        for each in self.get("/snapshots")["snapshots"]:
            self.remove("snapshot", each["id"])
        for each in self.get("/volumes")["volumes"]:
            self.remove("volume", each["id"])

    def place(self, id: str, kind: str = "volume") -> Path:
        """The directory that a volume or snapshot is."""
        return self.api.running.state_dir / f"{kind}s" / id

    def attach(self, volume: str, server: str) -> dict[str, Any]:
        body = {"volumeAttachment": {"volumeId": volume}}
        found: dict[str, Any] = self.api.make(f"/compute/v2.1/servers/{server}/os-volume_attachments", body)
        return found["volumeAttachment"]

    def detach(self, volume: str, server: str) -> None:
        answer = self.api("DELETE", f"/compute/v2.1/servers/{server}/os-volume_attachments/{volume}")
        assert answer.status_code == 202, answer.text
