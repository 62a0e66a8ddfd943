"""The embedded cloud's object store, as the place of the application's images."""

import uuid
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from urllib.parse import quote

from faafo_lab.cloud.emulator import control
from faafo_lab.cloud.emulator.common.store import Store
from tests.emulator.conftest import Api


class ObjectStore:
    """Starts an embedded cloud in a directory of its own; `api` is its project's client."""

    def __init__(self, directory: Path) -> None:
        self._directory = directory
        self.api = Api(control.start(directory))
        self.password = self.api.auth["password"]

    def url(self, container: str = "fractals") -> str:
        """FAAFO_IMAGES_URL for it."""
        user = f"{self.api.auth['username']}:{quote(self.password, safe='')}"
        address = self.api.auth["auth_url"].removeprefix("http://")
        return f"swift+http://{user}@{address}/{container}?project={self.api.auth['project_name']}"

    def credential(self) -> str:
        """A new application credential's id and secret, as a URL has them."""
        path = f"/identity/v3/users/{self.api.user}/application_credentials"
        made = self.api.make(path, {"application_credential": {"name": f"faafo-{uuid.uuid4()}"}})[
            "application_credential"
        ]
        return f"{made['id']}:{quote(made['secret'], safe='')}"

    def url_with(self, credential: str, container: str = "fractals") -> str:
        """FAAFO_IMAGES_URL for it, with an application credential."""
        address = self.api.auth["auth_url"].removeprefix("http://")
        return f"swift+http://{credential}@{address}/{container}?credential=application"

    def revoke(self, credential: str) -> None:
        """Delete an application credential."""
        id = credential.partition(":")[0]
        path = f"/identity/v3/users/{self.api.user}/application_credentials/{id}"
        assert self.api("DELETE", path).status_code == 204

    def path(self, container: str = "fractals", name: str = "") -> str:
        """A container's address, or an object's."""
        return f"/v1/AUTH_{self.api.project}/{container}" + (f"/{name}" if name else "")

    def names(self, container: str = "fractals") -> list[str]:
        """The objects in a container, which the application makes where it is missing."""
        answer = self.api("GET", self.path(container))
        return [] if answer.status_code == 404 else answer.text.split()

    def start(self) -> None:
        """Start it again."""
        self.api = Api(control.start(self._directory))

    def stop(self) -> None:
        control.stop(self._directory)

    def forget_tokens(self) -> None:
        """Lose all tokens, as a Keystone does whose keys were lost while it was down."""
        self.stop()
        with closing(Store(self._directory / "state.sqlite")) as store, store.transaction():
            for token in list(store.table("token")):
                store.table("token").delete(token["id"])
        self.start()


@contextmanager
def running() -> Iterator[ObjectStore]:
    """An object store for as long as this lasts."""
    with TemporaryDirectory(prefix="faafo-cloud") as directory:
        store = ObjectStore(Path(directory) / "cloud")
        try:
            yield store
        finally:
            store.stop()
