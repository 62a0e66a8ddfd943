"""Files in an object store, through libcloud's storage drivers: OpenStack Swift, S3, a directory (``local``).

A driver is made for each thread, since its connection is not for two at once; and made anew, once, where a call
fails: a token may have ended before its time.
"""

import contextlib
import threading
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import IO, Any, TypeVar
from urllib.parse import SplitResult, parse_qsl, unquote, urlsplit

from faafo_lab.app.errors import FilesAway, SettingsError
from faafo_lab.app.files.base import Files

R = TypeVar("R")

ANSWER_SECONDS = 30.0  # of the object store, for each read from its socket


@dataclass(frozen=True)
class Driver:
    """Which of libcloud's drivers, with which arguments."""

    provider: str
    container: str
    key: str
    arguments: dict[str, Any] = field(repr=False)


class ObjectFiles(Files):
    """Files in a container of an object store, which is made where it is missing."""

    def __init__(self, url: str, setting: str):
        """Connect lazily; raises ``SettingsError`` where the URL of this setting says too little."""
        self._driver = read_url(url, setting)
        self.place = f"{url.partition(':')[0].partition('+')[0]}://{self._driver.container}"
        self._of_thread = threading.local()

    def put(self, name: str, file: IO[bytes], kind: str) -> None:
        """Keep an object: stores show it when all of it has come."""
        begin = file.tell()

        def put(driver: Any, container: Any) -> None:
            file.seek(begin)
            driver.upload_object_via_stream(file, container, name, extra={"content_type": kind})

        self._ask(put)

    def read(self, name: str, start: int, stop: int) -> bytes:
        """The bytes ``[start, stop)`` of an object: one request."""

        def read(driver: Any, container: Any) -> bytes:
            wanted = _object(driver, container, name)
            return b"".join(driver.download_object_range_as_stream(wanted, start, stop))

        return self._ask(read)

    def whole(self, name: str) -> bytes:
        """All bytes of an object."""

        def read(driver: Any, container: Any) -> bytes:
            return b"".join(driver.download_object_as_stream(_object(driver, container, name)))

        return self._ask(read)

    def delete(self, name: str) -> None:
        """Delete an object."""

        def delete(driver: Any, container: Any) -> None:
            driver.delete_object(_object(driver, container, name))

        with contextlib.suppress(FileNotFoundError):
            self._ask(delete)

    def names(self, prefix: str = "") -> list[str]:
        """The objects whose names begin so; not all stores can choose."""

        def names(driver: Any, container: Any) -> list[str]:
            return [each.name for each in driver.iterate_container_objects(container)]

        return sorted(name for name in self._ask(names) if name.startswith(prefix))

    def _ask(self, question: Callable[[Any, Any], R]) -> R:
        """Ask the store; raises ``FileNotFoundError`` and ``FilesAway``."""
        from libcloud.common.exceptions import BaseHTTPError
        from libcloud.common.types import LibcloudError
        from libcloud.storage.types import ObjectDoesNotExistError

        while True:
            kept = hasattr(self._of_thread, "driver")
            try:
                if not kept:
                    self._of_thread.driver = self._connect()
                return question(*self._of_thread.driver)
            except (ObjectDoesNotExistError, FileNotFoundError):
                raise FileNotFoundError from None
            except (LibcloudError, BaseHTTPError, OSError) as error:
                self._of_thread.__dict__.clear()
                if not kept:
                    reason = getattr(error, "value", None) or str(error) or type(error).__name__
                    raise FilesAway(f"The object store does not answer: {reason}") from None

    def _connect(self) -> tuple[Any, Any]:
        """A driver and the container."""
        from libcloud.storage.providers import get_driver
        from libcloud.storage.types import ContainerDoesNotExistError

        wanted = self._driver
        driver = get_driver(wanted.provider)(wanted.key, **wanted.arguments)
        driver.connection.conn_class = _bounded(driver.connection.conn_class)
        driver.connection.connect()  # type: ignore[no-untyped-call]
        try:
            container = driver.get_container(wanted.container)
        except ContainerDoesNotExistError:
            container = driver.create_container(wanted.container)
        return driver, container


def read_url(url: str, setting: str) -> Driver:
    """What an object store's URL says; raises ``SettingsError``, without the secret in it."""
    try:
        parts = urlsplit(url)
        port = parts.port
    except ValueError:  # it says what it could not read
        raise SettingsError(f"{setting} is no URL: write / and @ in a password as %2F and %40.") from None
    scheme, _, over = parts.scheme.partition("+")
    options = dict(parse_qsl(parts.query))
    path, _, container = unquote(parts.path).rstrip("/").rpartition("/")
    if not container:
        raise SettingsError(f"{setting} must end in the container's name: {FORMS[scheme]}.")
    if scheme == "local":
        return Driver("local", container, path, {"ex_use_locking": False})
    if not (parts.username and parts.password and parts.hostname):
        raise SettingsError(f"{setting} must name user, password and host: {FORMS[scheme]}.")
    key, secret = unquote(parts.username), unquote(parts.password)
    arguments: dict[str, Any] = {"secret": secret, "region": options.pop("region", None)}
    if scheme == "swift":
        arguments |= _keystone(parts, "http" if over else "https", path, options, setting)
    else:
        arguments |= {"host": parts.hostname, "port": port or (80 if over else 443), "secure": not over}
    if options:
        raise SettingsError(f"{setting} has the unknown option '{next(iter(options))[:40]}': {FORMS[scheme]}.")
    return Driver("openstack_swift" if scheme == "swift" else "s3", container, key, arguments)


def _keystone(parts: SplitResult, scheme: str, path: str, options: dict[str, str], setting: str) -> dict[str, Any]:
    """Where Keystone is, and how to log in: with an application credential, or a user's password."""
    where = {"ex_force_auth_url": f"{scheme}://{parts.netloc.rpartition('@')[2]}{path.removesuffix('/v3')}"}
    if (kind := options.pop("credential", None)) is not None:
        if kind != "application":
            raise SettingsError(f"{setting} has the unknown credential '{kind[:40]}': {FORMS['credential']}.")
        return where | {"ex_force_auth_version": "3.x_appcred"}  # it has its project itself
    project, domain = options.pop("project", None), options.pop("domain", "Default")
    if not project:
        raise SettingsError(f"{setting} must name the project: {FORMS['swift']}, or {FORMS['credential']}.")
    return where | {"ex_force_auth_version": "3.x_password", "ex_tenant_name": project, "ex_domain_name": domain}


FORMS = {
    "swift": "swift://USER:PASSWORD@KEYSTONE/CONTAINER?project=NAME",
    "credential": "swift://CREDENTIAL_ID:SECRET@KEYSTONE/CONTAINER?credential=application",
    "s3": "s3://KEY:SECRET@HOST/BUCKET",
    "local": "local:///DIRECTORY/CONTAINER",
}
SCHEMES = ("swift", "swift+http", "s3", "s3+http", "local")


def _object(driver: Any, container: Any, name: str) -> Any:
    """An object by its name, without asking whether it is there."""
    from libcloud.storage.base import Object

    return Object(name, 0, "", {}, {}, container, driver)


def _bounded(connection_class: type[Any]) -> type[Any]:
    """A connection of libcloud's with a limit on every wait: its own has none where bodies are streamed."""
    from requests.adapters import HTTPAdapter

    class Adapter(HTTPAdapter):
        """What sends a request."""

        def send(self, request: Any, **kwargs: Any) -> Any:  # type: ignore[override]
            """Send it, with a limit."""
            return super().send(request, **kwargs | {"timeout": kwargs.get("timeout") or ANSWER_SECONDS})

    class Bounded(connection_class):  # type: ignore[misc]
        """A connection whose every wait ends."""

        def __init__(self, *args: Any, **kwargs: Any):
            super().__init__(*args, **kwargs)
            for scheme in ("http://", "https://"):
                self.session.mount(scheme, Adapter())

    return Bounded
