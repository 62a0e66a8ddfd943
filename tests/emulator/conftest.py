"""Embedded clouds for tests: real processes in temporary state directories, stopped whatever happens."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
import yaml

from faafo_lab.cloud.emulator import control
from faafo_lab.cloud.emulator.control import Running
from tests.waiting import LIMIT_SECONDS, wait_for


class Api:
    """A project's plain HTTP client: every request carries its token."""

    def __init__(self, running: Running, cloud: str = "embedded") -> None:
        self.running = running
        entry = yaml.safe_load(running.clouds_yaml.read_text())["clouds"][cloud]
        self.auth: dict[str, str] = entry["auth"]
        self.port_offset: int = entry["faafo_lab"]["published_ports"]["offset"]
        self.root = running.auth_url.removesuffix("/identity")
        self.http = httpx.Client(base_url=self.root, trust_env=False, timeout=LIMIT_SECONDS)
        answer = self.login()
        assert answer.status_code == 201, answer.text
        self.token = answer.headers["X-Subject-Token"]
        self.project = answer.json()["token"]["project"]["id"]
        self.user = answer.json()["token"]["user"]["id"]
        self.http.headers["X-Auth-Token"] = self.token

    def credentials(self, **user: Any) -> dict[str, Any]:
        """The body of a login; `user` changes what it says of the user."""
        who = {
            "name": self.auth["username"],
            "domain": {"name": "Default"},
            "password": self.auth["password"],
            **user,
        }
        scope = {"project": {"name": self.auth["project_name"], "domain": {"id": "default"}}}
        return {"auth": {"identity": {"methods": ["password"], "password": {"user": who}}, "scope": scope}}

    def login(self, body: dict[str, Any] | None = None) -> httpx.Response:
        return self.http.post("/identity/v3/auth/tokens", json=body or self.credentials())

    def __call__(self, method: str, path: str, body: Any = None, **more: Any) -> httpx.Response:
        """A request; `body` is sent as JSON."""
        return self.http.request(method, path, **({} if body is None else {"json": body}), **more)

    def get(self, path: str, **more: Any) -> Any:
        """The JSON that a GET answers, which must succeed."""
        answer = self("GET", path, **more)
        assert answer.status_code in (200, 300), answer.text
        return answer.json()

    def make(self, path: str, body: Any) -> Any:
        """The JSON that a POST answers, which must succeed."""
        answer = self("POST", path, body)
        assert answer.status_code in (200, 201, 202), answer.text
        return answer.json()

    # What many tests need

    def image(self, name: str = "plain-linux") -> str:
        return str(self.get(f"/image/v2/images?name={name}")["images"][0]["id"])

    def network(self, name: str = "private") -> dict[str, Any]:
        found: list[dict[str, Any]] = self.get(f"/networking/v2.0/networks?name={name}")["networks"]
        return found[0]

    def boot(self, name: str, **more: Any) -> str:
        """Create a server and wait until it is active; returns its id."""
        wanted = {"name": name, "imageRef": self.image(), "flavorRef": "1", **more}
        id = str(self.make("/compute/v2.1/servers", {"server": wanted})["server"]["id"])
        self.until(id, "ACTIVE")
        return id

    def server(self, id: str) -> dict[str, Any]:
        found: dict[str, Any] = self.get(f"/compute/v2.1/servers/{id}")["server"]
        return found

    def until(self, id: str, status: str) -> dict[str, Any]:
        """Wait for a server's status; fails at once where it is ERROR instead."""

        def there() -> dict[str, Any] | None:
            server = self.server(id)
            if server["status"] == "ERROR" != status:
                pytest.fail(f"server in ERROR: {server['fault']}")
            return server if server["status"] == status and not server["OS-EXT-STS:task_state"] else None

        return wait_for(f"server {id} {status}", there)

    def remove(self, id: str) -> None:
        """Delete a server and wait until it is gone."""
        assert self("DELETE", f"/compute/v2.1/servers/{id}").status_code == 204
        wait_for(f"server {id} gone", lambda: self("GET", f"/compute/v2.1/servers/{id}").status_code == 404)


@pytest.fixture(scope="module")
def running(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    """An embedded cloud."""
    directory = tmp_path_factory.mktemp("cloud")
    try:
        yield control.start(directory)
    finally:
        control.stop(directory)


@pytest.fixture(scope="module")
def api(running: Running) -> Api:
    """The project demo."""
    return Api(running)


@pytest.fixture(scope="module")
def alt(running: Running) -> Api:
    """The project alt."""
    return Api(running, "embedded-alt")


@pytest.fixture
def start(tmp_path: Path) -> Iterator[Callable[..., Running]]:
    """Start embedded clouds by name; all are stopped at the end."""
    directories: list[Path] = []

    def begin(name: str = "cloud", **options: Any) -> Running:
        directories.append(tmp_path / name)
        return control.start(tmp_path / name, **options)

    try:
        yield begin
    finally:
        for directory in directories:
            control.stop(directory)
